package main

import (
	"encoding/json"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/wireroom/wireroom/bench/internal/contract"
)

// request is a JSON-RPC request in either format. Which type the params have is
// known only when the method is, hence Raw, as servers with more than one
// method do it.
type request[Raw any] struct {
	Version string `json:"jsonrpc" msgpack:"jsonrpc"`
	Method  string `json:"method" msgpack:"method"`
	Params  Raw    `json:"params" msgpack:"params"`
	ID      Raw    `json:"id" msgpack:"id"`
}

type response[Raw any] struct {
	Version string         `json:"jsonrpc" msgpack:"jsonrpc"`
	Result  *contract.Call `json:"result,omitempty" msgpack:"result,omitempty"`
	Error   *rpcError      `json:"error,omitempty" msgpack:"error,omitempty"`
	ID      Raw            `json:"id" msgpack:"id"`
}

type rpcError struct {
	Code    int    `json:"code" msgpack:"code"`
	Message string `json:"message" msgpack:"message"`
}

// answerJSON answers a request that came in a text frame.
func answerJSON(data []byte) ([]byte, error) {
	return answer(data, json.Unmarshal, json.Marshal, json.RawMessage("null"))
}

// answerMsgpack answers a request that came in a binary frame.
func answerMsgpack(data []byte) ([]byte, error) {
	return answer(data, msgpack.Unmarshal, msgpack.Marshal, msgpack.RawMessage{0xc0})
}

// answerCall answers a request that came in a frame of either type.
func answerCall(binary bool, data []byte) ([]byte, error) {
	if binary {
		return answerMsgpack(data)
	}
	return answerJSON(data)
}

func answer[Raw ~[]byte](
	data []byte, unmarshal func([]byte, any) error, marshal func(any) ([]byte, error), null Raw,
) ([]byte, error) {
	var req request[Raw]
	res := response[Raw]{Version: "2.0", ID: null}
	if err := unmarshal(data, &req); err != nil {
		res.Error = &rpcError{-32700, err.Error()}
		return marshal(&res)
	}
	if len(req.ID) > 0 {
		res.ID = req.ID
	}
	switch req.Method {
	case "echo":
		var call contract.Call
		if err := unmarshal(req.Params, &call); err != nil {
			res.Error = &rpcError{-32602, err.Error()}
			break
		}
		res.Result = &call
	default:
		res.Error = &rpcError{-32601, "no method " + req.Method}
	}
	return marshal(&res)
}
