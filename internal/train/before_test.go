package train

import (
	"encoding/json"
	"math"
	"reflect"
	"testing"

	"dpotrain/internal/report"
)

// TestFindingsJSON: a checkpoint keeps findings to the bit, numbers that JSON has not included.
func TestFindingsJSON(t *testing.T) {
	for _, f := range []findings{
		{},
		{answers: []string{"", "a\n\"b\""}},
		{metrics: report.Row{report.Float("loss", 0.1), report.Float("rewards/margins", math.Inf(-1))}, answers: []string{"x"}},
	} {
		text, err := json.Marshal(settings{Before: f})
		if err != nil {
			t.Fatal(err)
		}
		var got settings
		if err := json.Unmarshal(text, &got); err != nil || !reflect.DeepEqual(got.Before, f) {
			t.Errorf("%s: read %+v, %v; want %+v", text, got.Before, err, f)
		}
	}
}
