package transport

// What the black-box tests of the handshake need from inside.

var (
	ReadHead            = readHead
	ReadResponseHead    = readResponseHead
	AppendRequestHead   = appendRequestHead
	AppendUpgrade       = appendUpgrade
	AppendRefusal       = appendRefusal
	AppendClientRequest = appendClientRequest
	CheckOrigins        = checkOrigins
	AnswerExtensions    = answerExtensions
	CheckExtensions     = checkExtensions
)

const (
	MaxFields = maxFields
	MaxOffers = maxOffers
)

// CheckRequest calls o.checkRequest.
func CheckRequest(o *Options, head []byte) (*Handshake, *StatusError) { return o.checkRequest(head) }

// OriginAllowed calls o.originAllowed.
func OriginAllowed(o *Options, origin, host string) bool { return o.originAllowed(origin, host) }

// CheckResponse calls checkResponse for a request that offered no extension.
func CheckResponse(head []byte, key string, protocols []string) (subprotocol string, err error) {
	subprotocol, deflate, err := checkResponse(head, key, protocols, false)
	if deflate {
		panic("permessage-deflate, though it was not offered")
	}
	return subprotocol, err
}
