package transport

// What the black-box tests of the handshake need from inside.

var (
	ReadHead            = readHead
	ReadResponseHead    = readResponseHead
	AppendRequestHead   = appendRequestHead
	AppendUpgrade       = appendUpgrade
	AppendRefusal       = appendRefusal
	AppendClientRequest = appendClientRequest
	CheckResponse       = checkResponse
	CheckOrigins        = checkOrigins
)

const (
	MaxFields = maxFields
	MaxOffers = maxOffers
)

// CheckRequest calls o.checkRequest.
func CheckRequest(o *Options, head []byte) (*Handshake, *StatusError) { return o.checkRequest(head) }

// OriginAllowed calls o.originAllowed.
func OriginAllowed(o *Options, origin, host string) bool { return o.originAllowed(origin, host) }
