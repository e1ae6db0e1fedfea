package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"dpotrain/internal/loss"
)

// A file may give a list of losses, which are summed with their weights (see loss.Mix): maps with name, weight and hyperparameters of that
// loss, or names alone, whose weights are 1 or stand in TRL's loss_weights.

// lossList reads a list of losses, which stands there under a name of key k.
func (l *loader) lossList(k Key, name string, n *yaml.Node, place string) {
	var terms []loss.Term
	own := map[string]given{}
	before := len(l.problems)
	for _, c := range n.Content {
		if t, ok := l.lossEntry(c, fmt.Sprintf("%s:%d: %s", l.trl.path, c.Line, name), own); ok {
			terms = append(terms, t)
		}
	}
	if len(n.Content) == 0 {
		l.problem(place, "an empty list; want one loss at least")
	}
	if len(l.problems) > before {
		l.noLoss = true
		return
	}
	info, err := loss.Sum(terms...)
	if err != nil {
		l.notLoss(place, err)
		return
	}
	l.layers[File][k.Name] = given{info.Name, place, own}
}

// lossEntry reads a loss of a list, and puts its hyperparameters into own. ok is false if anything is wrong, which it has said.
func (l *loader) lossEntry(n *yaml.Node, place string, own map[string]given) (t loss.Term, ok bool) {
	name, weight := Key{Name: "name", Kind: reflect.String}, Key{Name: "weight", Kind: reflect.Float64, Default: "1", limits: "gt=0"}
	t.Weight = 1
	before := len(l.problems)
	if n.Kind != yaml.MappingNode {
		v, err := scalar(name, n)
		if err != nil || v == nil {
			l.problem(place, "%s; want names of losses, or entries as {name: dpo, weight: 0.8}", listed(n))
			return t, false
		}
		t.Name = v.(string)
		return t, !l.onlyTRL(t.Name, place)
	}
	seen := map[string]string{}
	values := map[string]given{}
	var known []Key
	for _, k := range l.keys {
		if k.uses != nil {
			known = append(known, k)
		}
	}
	known = append(known, name, weight)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		at := place + ": " + show(key.Value)
		k, found := find(known, key.Value)
		if key.Kind != yaml.ScalarNode || !found {
			did := "; an entry has name, weight and hyperparameters of its loss"
			if near := suggest(known, key.Value); near != "" {
				did = fmt.Sprintf(" (did you mean %s?)", near)
			}
			l.problem(at, "unknown key%s", did)
			continue
		}
		if !l.once(seen, k, key.Value, at) {
			continue
		}
		v, err := scalar(k, value)
		if err == nil && v != nil {
			err = l.ranges.check(k, v)
		}
		switch {
		case err != nil:
			l.problem(at, "%v", err)
		case v == nil:
		case k.Name == "name":
			t.Name = v.(string)
		case k.Name == "weight":
			t.Weight, l.trl.weighted = v.(float64), true
		default:
			values[k.Name] = given{value: v, place: at}
		}
	}
	if _, named := seen["name"]; !named || t.Name == "" && len(l.problems) == before {
		l.problem(place, "an entry without a name; want entries as {name: dpo, weight: 0.8}")
	}
	if len(l.problems) > before || l.onlyTRL(t.Name, place) {
		return t, false
	}
	if info, ok := loss.Describe(t.Name); ok { // else the sum says it
		for key, g := range values {
			own[loss.OwnKey(info.Name, key)] = g
		}
	}
	return t, true
}

// listed is what an element of a list is, in a word or as it stands.
func listed(n *yaml.Node) string {
	if n.Kind != yaml.ScalarNode {
		return kindOf(n)
	}
	return show(n.Value)
}

// lossWeights gives the losses of the file the weights of TRL's loss_weights.
func (l *loader) lossWeights() {
	g := l.trl.weights
	if g.node == nil || plainText(g.node) == "null" || l.noLoss {
		return
	}
	nodes := []*yaml.Node{g.node}
	if g.node.Kind == yaml.SequenceNode {
		nodes = g.node.Content
	}
	var weights []float64
	for _, n := range nodes {
		v, err := scalar(Key{Kind: reflect.Float64}, n)
		if w, ok := v.(float64); err == nil && ok {
			weights = append(weights, w)
			continue
		}
		if err == nil {
			err = fmt.Errorf("no value; want a number")
		}
		l.problem(g.place, "%v", err)
		return
	}
	was, given := l.layers[File]["loss"]
	if !given {
		if !slices.Equal(weights, []float64{1}) && !l.given("loss") {
			l.problem(g.place, "given without loss_type; give the losses there, one for each weight")
		}
		return
	}
	info, _ := loss.Of(was.value.(string))
	parts := info.Parts()
	switch {
	case l.trl.weighted || was.own == nil && strings.Contains(was.value.(string), "="):
		l.problem(g.place, "the losses have weights of their own; leave one out")
	case len(weights) != len(parts):
		l.problem(g.place, "%s for %s; want one for each", count(len(weights), "weight", "weights"), count(len(parts), "loss", "losses"))
	default:
		terms := make([]loss.Term, len(parts))
		for i, p := range parts {
			terms[i] = loss.Term{Name: p.Name, Weight: weights[i]}
		}
		sum, err := loss.Sum(terms...)
		if err != nil {
			l.notLoss(g.place, err)
			return
		}
		was.value = sum.Name
		l.layers[File]["loss"] = was
	}
}

// count is a number with its noun.
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
