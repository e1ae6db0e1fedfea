package report

import (
	"bytes"
	"testing"
	"time"
)

func TestHumanNumbers(t *testing.T) {
	for _, tt := range []struct{ got, want string }{
		{Count(0), "0"}, {Count(999), "999"}, {Count(1000), "1,000"}, {Count(-1000), "-1,000"}, {Count(-999), "-999"}, {Count(-1234567), "-1,234,567"},
		{Bytes(0), "0 B"}, {Bytes(1023), "1023 B"}, {Bytes(1024), "1.0 KiB"}, {Bytes(1536), "1.5 KiB"}, {Bytes(1<<20 - 1), "1.0 MiB"},
		{Bytes(3 << 30), "3.0 GiB"}, {Bytes(5 << 50), "5120.0 TiB"},
		{Duration(0), "0.0s"}, {Duration(1500 * time.Millisecond), "1.5s"}, {Duration(59960 * time.Millisecond), "1m00s"}, {Duration(61 * time.Second), "1m01s"},
		{Duration(time.Hour - 400*time.Millisecond), "1h00m"}, {Duration(2*time.Hour + 3*time.Minute), "2h03m"}, {Duration(50 * time.Hour), "50h00m"},
		{remaining(400 * time.Millisecond), "0s"}, {remaining(59600 * time.Millisecond), "1m00s"}, {remaining(80 * time.Second), "1m20s"},
		{Line(" a\n\tb  c\x1b[2J ", 80), "a b c?[2J"}, {Line("a b c d", 5), "a b ~"}, {Line(" \n", 5), ""},
		{cut("loss 0.5", 8), "loss 0.5"}, {cut("loss 0.5", 7), "loss 0~"}, {cut("loss", 0), "~"}, {cut("losses", -9), "~"}, {cut("日本語", 5), "日本~"}, {cut("日本語", 4), "日~"},
	} {
		if tt.got != tt.want {
			t.Errorf("got %q, want %q", tt.got, tt.want)
		}
	}
}

func TestTable(t *testing.T) {
	for _, tt := range []struct {
		name   string
		header []string
		rows   [][]string
		want   string
	}{
		{"numbers to the right", []string{"metric", "value", "unit"}, [][]string{{"loss", "0.5", ""}, {"rewards/margins", "-12.25", "nats"}, {"grad_norm", "NaN", ""}, {"ties", "-", "share"}}, `metric            value  unit
loss                0.5
rewards/margins  -12.25  nats
grad_norm           NaN
ties                  -  share
`},
		{"units and fingerprints", []string{"fingerprint", "tokens", "size"}, [][]string{{"3f2a9c", "1,234,567", "1.5 KiB"}, {"77", "9", "12.0 MiB"}}, `fingerprint     tokens      size
3f2a9c       1,234,567   1.5 KiB
77                   9  12.0 MiB
`},
		{"no rows", []string{"a", "b"}, nil, "a  b\n"},
		{"column of dashes", []string{"a", "none", "n"}, [][]string{{"x", "-", "1"}}, "a  none  n\nx  -     1\n"},
		{"empty column", []string{"a", "empty", "b"}, [][]string{{"x", "", "y"}}, "a  empty  b\nx         y\n"},
		{"wide and hostile cells", []string{"model", "n"}, [][]string{{"日本", "1"}, {"a\x1b[2J\nb", "22"}, {"\xff", "3"}}, "model     n\n日本      1\na?[2J?b  22\n?         3\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var b bytes.Buffer
			Table(&b, tt.header, tt.rows)
			if b.String() != tt.want {
				t.Errorf("got\n%s\nwant\n%s", b.String(), tt.want)
			}
		})
	}
}
