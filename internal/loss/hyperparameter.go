package loss

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// Settings are values of hyperparameters by their keys, each of the type of its Default.
type Settings map[string]any

func (s Settings) number(key string) float64 { return s[key].(float64) }

// Hyperparameter is a setting of a loss. Losses that share a key may differ in its default, range and meaning.
type Hyperparameter struct {
	Key     string   // beta; one that no other loss could share begins with the loss's name: odpo_alpha
	Default any      // float64, bool or string
	Neutral any      // the value that does nothing, so that it does no harm to give it to any loss; nil: none
	Range            // of a number
	Choices []string // of a string
	Meaning string   // in one line, and what higher values do
	With    Setting  // of the same loss, without which it has no effect; none: it always has
}

// Setting is a value of a hyperparameter.
type Setting struct {
	Key   string
	Value any
}

// Range is the finite numbers between Low and High.
type Range struct {
	Low, High         float64
	LowOpen, HighOpen bool // the end itself is not in it
}

// String is the range as a condition: >= 0 and < 0.5.
func (r Range) String() string {
	var s []string
	for _, end := range []struct {
		sign  string
		open  bool
		value float64
	}{{">", r.LowOpen, r.Low}, {"<", r.HighOpen, r.High}} {
		switch {
		case math.IsInf(end.value, 0):
		case end.open:
			s = append(s, fmt.Sprintf("%s %v", end.sign, end.value))
		default:
			s = append(s, fmt.Sprintf("%s= %v", end.sign, end.value))
		}
	}
	if len(s) == 0 {
		return "a finite number"
	}
	return strings.Join(s, " and ")
}

func (r Range) has(v float64) bool {
	return v-v == 0 && (v > r.Low || v == r.Low && !r.LowOpen) && (v < r.High || v == r.High && !r.HighOpen)
}

// Values are those that it can have: > 0, or log, identity.
func (h Hyperparameter) Values() string {
	switch h.Default.(type) {
	case string:
		return strings.Join(h.Choices, ", ")
	case bool:
		return "true or false"
	}
	return h.Range.String()
}

// Check says what is wrong with a value, if anything is.
func (h Hyperparameter) Check(v any) error {
	switch v := v.(type) {
	case float64:
		if _, ok := h.Default.(float64); ok && !h.has(v) {
			return fmt.Errorf("%v is out of range; want %v", v, h.Range)
		}
	case string:
		if _, ok := h.Default.(string); ok && !slices.Contains(h.Choices, v) {
			return fmt.Errorf("%q; want %s", v, strings.Join(h.Choices, ", "))
		}
	}
	if want := fmt.Sprintf("%T", h.Default); fmt.Sprintf("%T", v) != want {
		return fmt.Errorf("%v; want a %s", v, want)
	}
	return nil
}

// beta is the hyperparameter that most losses share.
func beta(byDefault float64, meaning string) Hyperparameter {
	return Hyperparameter{Key: "beta", Default: byDefault, Range: Range{Low: 0, LowOpen: true, High: math.Inf(1)}, Meaning: meaning}
}

// pull is what beta means to most losses.
const pull = "strength of the pull towards the reference: higher stays closer to it"

// SettingError is a hyperparameter that a loss cannot have.
type SettingError struct {
	Key, Text string
}

func (e *SettingError) Error() string { return e.Key + ": " + e.Text }

// Hyperparameter finds one of the loss's, or a modifier's that it can have, by its key.
func (i Info) Hyperparameter(key string) (Hyperparameter, bool) {
	h, ok := i.own(key)
	if !ok {
		var m Modifier
		m, ok = i.modifier(key)
		h = m.Hyperparameter
	}
	return h, ok
}

// own finds a hyperparameter of the loss itself.
func (i Info) own(key string) (Hyperparameter, bool) {
	at := slices.IndexFunc(i.Hyperparameters, func(h Hyperparameter) bool { return h.Key == key })
	if at < 0 {
		return Hyperparameter{}, false
	}
	return i.Hyperparameters[at], true
}

// Defaults are the default of a hyperparameter, and in a sum those of all parts that use it.
func (i Info) Defaults(key string) []any {
	if m, ok := i.modifier(key); ok {
		return []any{m.Default}
	}
	var all []any
	for _, p := range i.Parts() {
		if h, ok := p.own(key); ok && !slices.Contains(all, h.Default) {
			all = append(all, h.Default)
		}
	}
	return all
}

// Unused says that the loss does not use a hyperparameter, and what to do.
func (i Info) Unused(key string) string {
	why := fmt.Sprintf("loss %s does not use it", i.Name)
	if m, ok := findModifier(modifiers, key); ok {
		why = m.refuses(i)
	}
	if other := i.Instead[key]; other != "" {
		return fmt.Sprintf("%s; use loss %s, or leave it out", why, other)
	}
	return why + "; leave it out"
}

// Settings are the loss's hyperparameters with the given values, and its defaults for those that are not given. It fails
// with a *SettingError on one that the loss does not use, that has no effect beside the others or that is out of range. Those of a sum are under keys as dpo.beta; see Mix.
// Of modifiers those that are given are there.
func (i Info) Settings(given Settings) (Settings, error) {
	modifiers, own, err := i.takeModifiers(given)
	if err != nil {
		return nil, err
	}
	if v, both := modifiers["ld_alpha"]; both && v != 1.0 && modifiers["sampo"] == true {
		return nil, &SettingError{"sampo", "ld_alpha is given too, and both are of the longer completion's tokens; leave one out"}
	}
	full, err := i.ownSettings(own)
	if err != nil {
		return nil, err
	}
	maps.Copy(full, modifiers)
	if err := i.checkPrompts(full); err != nil {
		return nil, err
	}
	return full, nil
}

// checkPrompts fails where one term of supervised fine-tuning is of the prompt too and another is not: they imitate the same.
func (i Info) checkPrompts(s Settings) error {
	key := "orpo_nll_on_prompt"
	for _, p := range i.parts {
		if p.Name == orpoInfo.Name {
			key = OwnKey(p.Name, key)
		}
	}
	if on, ok := s[key].(bool); !ok || !on {
		return nil
	}
	others := slices.ContainsFunc(i.Parts(), func(p Part) bool { return p.Name != orpoInfo.Name && p.Needs.SFT })
	if weight, given := s["sft_weight"].(float64); others || given && weight > 0 {
		return &SettingError{key, "the other supervised fine-tuning beside it is of the completion alone; leave one of them out"}
	}
	return nil
}

// ownSettings is Settings without modifiers.
func (i Info) ownSettings(given Settings) (Settings, error) {
	if len(i.parts) > 0 {
		return i.sumSettings(given)
	}
	full := Settings{}
	for _, h := range i.Hyperparameters {
		full[h.Key] = h.Default
		if v, ok := given[h.Key]; ok {
			if err := h.Check(v); err != nil {
				return nil, &SettingError{h.Key, err.Error()}
			}
			full[h.Key] = v
		}
	}
	for _, key := range slices.Sorted(maps.Keys(given)) {
		if _, ok := full[key]; !ok {
			return nil, &SettingError{key, i.Unused(key)}
		}
	}
	for _, h := range i.Hyperparameters {
		// Complete settings have it at its default.
		if with := h.With; with.Key != "" && full[with.Key] != with.Value && full[h.Key] != h.Default {
			return nil, &SettingError{h.Key, fmt.Sprintf("%v has no effect with %s: %v; set that to %v, or leave this out", full[h.Key], with.Key, full[with.Key], with.Value)}
		}
	}
	return full, nil
}

// Use is a hyperparameter of one of the losses.
type Use struct {
	Loss string
	Hyperparameter
}

// Uses are the hyperparameters of all losses, those with the same key together, in the order in which the catalogue first
// has them, and then the modifiers with the losses that can have them.
func Uses() [][]Use {
	var all [][]Use
	add := func(l Info, h Hyperparameter) {
		at := slices.IndexFunc(all, func(u []Use) bool { return u[0].Key == h.Key })
		if at < 0 {
			at, all = len(all), append(all, nil)
		}
		all[at] = append(all[at], Use{l.Name, h})
	}
	for _, l := range catalogue {
		for _, h := range l.Hyperparameters {
			add(l, h)
		}
	}
	for _, l := range catalogue {
		for _, m := range l.Modifiers() {
			add(l, m.Hyperparameter)
		}
	}
	return all
}
