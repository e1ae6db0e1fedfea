package doctor

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"dpotrain/internal/data"
	"dpotrain/internal/report"
	"dpotrain/internal/rows"
)

const (
	reportVersion = 1
	placesKept    = 100 // rows that a finding names in JSON
	placesShown   = 5   // and in text
)

// Report is what Check found. Its JSON form is described in docs/formats.md.
type Report struct {
	Version        int     `json:"version"`
	Model          string  `json:"model"`
	MaxLength      int     `json:"max_length"`
	TruncationMode string  `json:"truncation_mode"`
	Usable         bool    `json:"usable"` // no finding is an error
	Files          []*File `json:"files"`  // data, then eval_data
}

// File is what was found in data sets, which may be several files.
type File struct {
	Key      string             `json:"key"` // data or eval_data
	Path     string             `json:"path"`
	Rows     int                `json:"rows"`
	Kept     int                `json:"kept"`
	Filtered int                `json:"filtered"` // left out by the filter of their data set
	Forms    map[string]int     `json:"forms"`    // rows by what they are: pairs, unpaired, ranked, completions
	Prompts  int                `json:"prompts"`  // different ones
	Tokens   map[string]Lengths `json:"tokens"`   // prompt, chosen, rejected, completion; sequence: prompt and completion together
	Cuts     *Cuts              `json:"cuts,omitempty"`
	Longer   *Longer            `json:"longer,omitempty"`
	Labels   *Labels            `json:"labels,omitempty"`
	Findings []Finding          `json:"findings"`
}

// Lengths are how long something is, in tokens before truncation: so many are at most P50, and so on.
type Lengths struct {
	Count int     `json:"count"`
	Mean  float64 `json:"mean"`
	Min   int     `json:"min"`
	P50   int     `json:"p50"`
	P90   int     `json:"p90"`
	P95   int     `json:"p95"`
	P99   int     `json:"p99"`
	Max   int     `json:"max"`
}

// Cuts says what max_length does to sequences, and which would cut at most so many.
type Cuts struct {
	Sequences   int `json:"sequences"`
	Longer      int `json:"longer"` // than max_length
	For1Percent int `json:"for_1_percent"`
	For5Percent int `json:"for_5_percent"`
}

// Longer says which side of pairs is longer; Share is that of chosen among those that differ, with its 95 % interval.
type Longer struct {
	Pairs    int     `json:"pairs"`
	Chosen   int     `json:"chosen"`
	Rejected int     `json:"rejected"`
	Equal    int     `json:"equal"`
	Share    float64 `json:"share"`
	Low      float64 `json:"low"`
	High     float64 `json:"high"`
}

// Labels are the unpaired rows of each.
type Labels struct {
	Desirable   int `json:"desirable"`
	Undesirable int `json:"undesirable"`
}

// Finding is something that is wrong, or worth knowing.
type Finding struct {
	ID       string   `json:"id"`
	Severity Severity `json:"severity"`
	Rows     int      `json:"rows"` // that show it; 0: it is of the whole file
	What     string   `json:"what"`
	Evidence string   `json:"evidence,omitempty"` // of the first row
	Why      string   `json:"why"`
	Cure     string   `json:"cure"`
	Places   []Place  `json:"places,omitempty"` // of the first rows
}

// Place is a row.
type Place struct {
	File  string `json:"file"`
	Line  int    `json:"line"`
	ByRow bool   `json:"-"`
	Row   int    `json:"row"` // what dpotrain show --row takes for it

	Dataset int `json:"dataset,omitempty"` // and --dataset, beside File
}

func (f *File) usable() bool {
	return !slices.ContainsFunc(f.Findings, func(f Finding) bool { return f.Severity == Error })
}

// Unusable says in one line what is wrong with a report that is not Usable.
func (r *Report) Unusable() string {
	var parts []string
	for _, f := range r.Files {
		n := 0
		for _, found := range f.Findings {
			if found.Severity == Error {
				n += found.Rows
			}
		}
		switch {
		case f.Rows == 0:
			parts = append(parts, fmt.Sprintf("%s: no rows", f.Path))
		case n > 0:
			parts = append(parts, fmt.Sprintf("%s: %d of %d rows cannot be used", f.Path, n, f.Rows))
		}
	}
	return strings.Join(parts, "; ")
}

// JSON writes the report as an object.
func (r *Report) JSON(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(r)
}

// Print writes the report for people.
func (r *Report) Print(w io.Writer, colours bool) {
	for i, f := range r.Files {
		if i > 0 {
			fmt.Fprintln(w)
		}
		f.print(w, r, colours)
	}
}

func (f *File) print(w io.Writer, r *Report, colours bool) {
	count := func(n int) string { return report.Count(int64(n)) }
	var forms []string
	for _, form := range slices.Sorted(maps.Keys(f.Forms)) {
		forms = append(forms, many(f.Forms[form], form))
	}
	fmt.Fprintf(w, "%s: %s read, %s kept, %s left out\n", line(f.Path), many(f.Rows, "rows"), count(f.Kept), count(f.Rows-f.Kept))
	if f.Filtered > 0 {
		fmt.Fprintf(w, "%s of these by the filter\n", count(f.Filtered))
	}
	if len(forms) > 0 {
		fmt.Fprintf(w, "%s; %s\n", strings.Join(forms, ", "), many(f.Prompts, "different prompts"))
	}
	if len(f.Tokens) > 0 {
		fmt.Fprintln(w)
		var table [][]string
		for _, what := range []string{"prompt", "chosen", "rejected", "completion", "sequence"} {
			if l, is := f.Tokens[what]; is {
				table = append(table, []string{what, count(l.Count), fmt.Sprintf("%.1f", l.Mean), count(l.Min), count(l.P50), count(l.P90), count(l.P95), count(l.P99), count(l.Max)})
			}
		}
		report.Table(w, []string{"tokens", "number", "mean", "least", "50 %", "90 %", "95 %", "99 %", "most"}, table)
	}
	if c := f.Cuts; c != nil {
		limit := "no max_length cuts anything"
		if r.MaxLength > 0 {
			limit = fmt.Sprintf("max_length %s cuts %s of %s sequences (%.1f %%)", count(r.MaxLength), count(c.Longer), count(c.Sequences), 100*float64(c.Longer)/float64(c.Sequences))
		}
		fmt.Fprintf(w, "\n%s; %s would cut at most 5 %%, %s at most 1 %%\n", limit, count(c.For5Percent), count(c.For1Percent))
	}
	if l := f.Longer; l != nil {
		fmt.Fprintf(w, "chosen is longer in %s pairs, rejected in %s, %s are equal: length alone would find chosen in %.0f %% (95 %% interval %.0f to %.0f %%)\n",
			count(l.Chosen), count(l.Rejected), count(l.Equal), 100*l.Share, 100*l.Low, 100*l.High)
	}
	if l := f.Labels; l != nil {
		fmt.Fprintf(w, "labels: %s desirable, %s undesirable\n", count(l.Desirable), count(l.Undesirable))
	}
	if len(f.Findings) == 0 {
		fmt.Fprintln(w, "\nnothing to find fault with")
	}
	for i := range f.Findings {
		f.Findings[i].print(w, f.Path, colours)
	}
}

// print writes a finding; rows of the file named path are named by their numbers alone.
func (f *Finding) print(w io.Writer, path string, colours bool) {
	severity := string(f.Severity)
	if colours {
		severity = map[Severity]report.Colour{Error: report.Red, Warning: report.Cyan, Note: report.Dim}[f.Severity].Paint(severity)
	}
	fmt.Fprintf(w, "\n%s %s: %s", severity, f.ID, f.What)
	if f.Rows > 0 {
		fmt.Fprintf(w, ": %s", many(f.Rows, "rows"))
	}
	fmt.Fprintln(w)
	if at := f.where(path); at != "" {
		fmt.Fprintf(w, "  %-5s %s\n", "at", line(at))
	}
	for _, part := range []struct{ name, text string }{{"found", f.Evidence}, {"why", f.Why}, {"cure", f.Cure}, {"see", f.see()}} {
		if part.text != "" {
			fmt.Fprintf(w, "  %-5s %s\n", part.name, line(part.text))
		}
	}
}

// where names the first rows.
func (f *Finding) where(path string) string {
	if len(f.Places) == 0 {
		return ""
	}
	var at []string
	one := !slices.ContainsFunc(f.Places, func(p Place) bool { return p.File != path })
	for _, p := range f.Places[:min(placesShown, len(f.Places))] {
		if one {
			at = append(at, fmt.Sprint(p.Line))
		} else {
			at = append(at, rows.Place(p.File, p.Line, p.ByRow))
		}
	}
	word := ""
	if one {
		word = "line"
		if f.Places[0].ByRow {
			word = "row"
		}
		if f.Rows > 1 {
			word += "s"
		}
		word += " "
	}
	if f.Rows > len(at) {
		at = append(at, "...")
	}
	return word + strings.Join(at, ", ")
}

// see is the command that shows the first row.
func (f *Finding) see() string {
	if len(f.Places) == 0 || f.Places[0].File == data.Stdin {
		return ""
	}
	p := f.Places[0]
	if p.Dataset > 0 { // whose columns and filter may be its own
		return fmt.Sprintf("dpotrain show --dataset %d --file %s --row %d", p.Dataset, p.File, p.Row)
	}
	return fmt.Sprintf("dpotrain show --data %s --row %d", p.File, p.Row)
}

// many is a number of things, whose name is in the plural.
func many(n int, things string) string {
	if n == 1 {
		things = strings.TrimSuffix(things, "s")
	}
	return report.Count(int64(n)) + " " + things
}

// line is a text that a terminal may see, in one line.
func line(s string) string { return report.Line(s, 400) }
