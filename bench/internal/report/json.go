package report

import (
	"encoding/json"
	"io"

	"github.com/wireroom/wireroom/bench/internal/record"
)

// JSON writes everything, raw.
func JSON(w io.Writer, r *record.Report) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}
