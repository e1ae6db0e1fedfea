package config

import "testing"

// TestMap: a map keeps its order, its names' letters and the kinds of its values, and comes out of a resolved config as it went in.
func TestMap(t *testing.T) {
	const file = `chat_template_kwargs:
  Zeta: false
  alpha: [1, 1.0, -2.5e-7, .5, 1e22, null, ~]
  "yes": "no"
  text: |
    two "lines"
    ä 🙂 <b>
  nested: {a: {B: []}, c: {}}
  date: 26 Jul 2024
`
	const want = `{"Zeta": false, "alpha": [1, 1.0, -2.5e-07, 0.5, 1e+22, null, null], "yes": "no", "text": "two \"lines\"\nä 🙂 <b>\n", "nested": {"a": {"B": []}, "c": {}}, "date": "26 Jul 2024"}`
	r := input{file: file}.mustLoad(t)
	if got := r.Options.Rows.ChatTemplateKwargs; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	again := input{file: string(Marshal(r.Options))}.mustLoad(t)
	if got := again.Options.Rows.ChatTemplateKwargs; got != want {
		t.Errorf("after another round: %s", got)
	}
	if got := Values(r.Options)["chat_template_kwargs"]; got != want {
		t.Errorf("a checkpoint has %s", got)
	}
	for _, in := range []input{{flags: []string{"--chat-template-kwargs", want}}, {environ: []string{"DPOTRAIN_CHAT_TEMPLATE_KWARGS=" + want}}} {
		if got := in.mustLoad(t).Options.Rows.ChatTemplateKwargs; got != want {
			t.Errorf("%+v: %s", in, got)
		}
	}
}
