// Package config puts a run's settings together: defaults, then a flat YAML file, then variables DPOTRAIN_KEY, then flags,
// each above the one before.
//
// The keys are the fields of train.Options, whose tags say name, default, range and help; every key can be given in all
// three ways. Values are read strictly: an unknown key, a wrong type, a value out of range or a setting given twice is a
// Problem that names the file with line and key, the variable or the flag, and all problems come out together. A sum of
// losses is a list in a file (see loss_list.go), and dpo=0.8,sft=1 elsewhere; structure.go has the other values that are not flat. What a
// higher layer replaces has to be right too. An unknown variable DPOTRAIN_... is a warning, for it may belong to
// something else; a variable set to nothing counts as not set. Relative paths count from the working directory, as in
// TRL, not from the file that names them.
//
// A file may have the keys of TRL, too: trl_rows.go says for each whether it is the same here, what it becomes, that it
// has no effect, or why it is refused. Variables and flags have our keys and their aliases only.
//
// To add a key: a field in the Options of the package that reads it. A rule that a field's tags cannot say stands in
// rules here. One of TRL's has a row in trl_rows.go. This is the only package that imports viper.
package config

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"github.com/spf13/viper"

	"dpotrain/internal/eval"
	"dpotrain/internal/loss"
	"dpotrain/internal/train"
)

// Layer says where a value comes from; a higher layer goes above a lower.
type Layer int

// The layers, lowest first.
const (
	Default Layer = iota
	File
	Variable
	Flag
)

// LoadOptions say what there is to read.
type LoadOptions struct {
	File    string         // path of a YAML file; empty: none
	Flags   *pflag.FlagSet // with flags of AddFlags, parsed; nil: none
	Environ []string       // NAME=value, as os.Environ gives it
}

// Resolved is a run's settings put together.
type Resolved struct {
	Options  train.Options // Loss is a name of the catalogue or a sum of such, LossSettings are complete
	Warnings []string      // what is legal and probably a mistake, a line each
	Notes    []string      // what is good to know, likewise

	origins map[string]Layer // of the keys that somebody gave
}

// Origin is the layer that a key's value comes from.
func (r *Resolved) Origin(key string) Layer { return r.origins[key] }

// Require checks that each of the named keys has a value. The error, of type Errors, says how to give it.
func (r *Resolved) Require(names ...string) error {
	var missing Errors
	for _, k := range Keys() {
		if v, ok := k.value(r.Options); slices.Contains(names, k.Name) && (!ok || v.IsZero()) && !r.instead(k.Name) {
			missing = append(missing, Problem{k.Name, fmt.Sprintf("not given; give --%s, or %s in a config file (%s)", k.Flag(), k.Name, k.Help)})
		}
	}
	return missing.orNil()
}

// instead says that another key was given in place of one.
func (r *Resolved) instead(key string) bool {
	return key == "data" && r.Options.Datasets != nil || key == "eval_data" && r.Options.EvalFraction > 0
}

// Problem is one thing that is wrong with a run's settings.
type Problem struct {
	Place string // where it stands: configs/losses/ipo.yaml:14: bata, DPOTRAIN_BETA, --beta
	Text  string // what is wrong and what to do
}

func (p Problem) String() string { return p.Place + ": " + p.Text }

// Errors is all that is wrong with a run's settings: those of the file in its order, then variables, flags, and rules
// between keys.
type Errors []Problem

// Error has a line for each problem, up to a number that still can be read: a file that is something else altogether
// has thousands.
func (e Errors) Error() string {
	const most = 50
	var lines []string
	for _, p := range e[:min(most, len(e))] {
		lines = append(lines, p.String())
	}
	if more := len(e) - most; more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(lines, "\n")
}

func (e Errors) orNil() error {
	if len(e) == 0 {
		return nil
	}
	return e
}

// Load puts settings together. What is wrong with them comes out as one error of type Errors.
func Load(o LoadOptions) (*Resolved, error) {
	l := newLoader(Keys())
	if o.File != "" {
		l.readFile(o.File)
	}
	l.readVariables(o.Environ)
	l.readFlags(o.Flags)
	l.hyperparameters()
	r, err := l.resolve()
	if err != nil {
		return nil, err
	}
	l.trlRules(&r.Options)
	l.rules(&r.Options)
	if err := l.problems.orNil(); err != nil {
		return nil, err
	}
	r.Warnings, r.Notes = l.warnings, l.notes
	return r, nil
}

// loader gathers what was given.
type loader struct {
	keys     []Key
	ranges   ranges
	layers   [Flag + 1]map[string]given // by key; that of Default is filled from the tags
	inFile   map[string]string          // the keys of the file, as once keeps them
	trl      trlFile
	warnings []string
	notes    []string
	problems Errors
	noLoss   bool // what was given for the loss is no loss, so that nothing more can be said of its hyperparameters
}

// given is a value that somebody gave.
type given struct {
	value any
	place string // as in Problem

	own map[string]given // of the value of loss: hyperparameters in the list of losses, by keys as dpo.beta
}

func newLoader(keys []Key) *loader {
	l := &loader{keys: keys, ranges: newRanges(), inFile: map[string]string{}}
	for i := range l.layers {
		l.layers[i] = map[string]given{}
	}
	for _, k := range l.keys {
		if k.Default == "" && k.Kind == reflect.String && !k.optional {
			l.layers[Default][k.Name] = given{value: "", place: k.Name}
		} else if k.Default != "" {
			l.text(Default, k, k.Default, k.Name)
		}
	}
	return l
}

func (l *loader) problem(place, format string, a ...any) {
	l.problems = append(l.problems, Problem{place, fmt.Sprintf(format, a...)})
}

func (l *loader) warn(place, format string, a ...any) {
	l.warnings = append(l.warnings, Problem{place, fmt.Sprintf(format, a...)}.String())
}

func (l *loader) note(place, format string, a ...any) {
	l.notes = append(l.notes, Problem{place, fmt.Sprintf(format, a...)}.String())
}

// text gives a value that is written as text.
func (l *loader) text(layer Layer, k Key, s, place string) {
	if k.structured() {
		l.structureText(layer, k, s, place)
		return
	}
	v, err := k.parse(s)
	if err != nil {
		l.problem(place, "%v", err)
		return
	}
	l.give(layer, k, v, place)
}

// give keeps a value if it is in its key's range. A loss gets the catalogue's name for it.
func (l *loader) give(layer Layer, k Key, v any, place string) {
	if err := l.ranges.check(k, v); err != nil {
		l.problem(place, "%v", err)
		return
	}
	if text, ok := v.(string); ok && k.Name == "loss" {
		info, err := loss.Of(text)
		if err != nil {
			l.notLoss(place, err)
			return
		}
		v = info.Name
	}
	l.layers[layer][k.Name] = given{value: v, place: place}
}

// notLoss says why what was given for the loss is none.
func (l *loader) notLoss(place string, err error) {
	l.noLoss = true
	text := strings.TrimPrefix(err.Error(), "loss: ")
	if unknown, ok := errors.AsType[*loss.UnknownError](err); ok {
		text += DidYouMean(unknown.Name, loss.Names())
	}
	l.problem(place, "%s", text)
}

// top is a key's value in the highest layer up to the given one that has it.
func (l *loader) top(key string, upTo Layer) (given, Layer, bool) {
	for layer := upTo; layer >= Default; layer-- {
		if g, ok := l.layers[layer][key]; ok {
			return g, layer, true
		}
	}
	return given{}, Default, false
}

// place is where a key's value was given. That of a loss in a sum, as dpo.beta, stands in the list of losses, or was given for all of them.
func (l *loader) place(key string) string {
	if _, shared, dotted := loss.CutOwnKey(key); dotted {
		if own, ok := l.own()[key]; ok {
			return own.place
		}
		key = shared
	}
	g, layer, _ := l.top(key, Flag)
	if layer == Default { // a list of one loss, which is that loss and has keys without its name
		info, _ := l.lossUpTo(Flag)
		if own, ok := l.own()[loss.OwnKey(info.Name, key)]; ok {
			return own.place
		}
	}
	return g.place
}

// own are the hyperparameters that the list of losses gives.
func (l *loader) own() map[string]given {
	g, _, _ := l.top("loss", Flag)
	return g.own
}

// hyperparameters sees to it that each is used only with a loss that it was meant for. One that stands in the same layer
// as the choice of the loss, or above it, is an error if the loss does not use it. One below was meant for the loss that
// the layers up to it chose, and is dropped with a warning if the loss does not use it or has another default.
func (l *loader) hyperparameters() {
	if l.noLoss {
		return
	}
	now, chosen := l.lossUpTo(Flag)
	for _, layer := range l.layers[:chosen] { // hyperparameters in a list of losses that another choice of the loss has replaced
		for _, key := range slices.Sorted(maps.Keys(layer["loss"].own)) {
			g := layer["loss"].own[key]
			name, own, _ := loss.CutOwnKey(key)
			part, _ := loss.Describe(name)
			if h, _ := part.Hyperparameter(own); h.Default != g.value { // a resolved config has all of them
				l.warn(g.place, "%v, of %s in the list of losses, is not carried over to loss %s", g.value, name, now.Name)
			}
		}
	}
	for _, k := range l.keys {
		g, at, ok := l.top(k.Name, Flag)
		if k.uses == nil || !ok {
			continue
		}
		defaults := now.Defaults(k.Name)
		was, _ := l.lossUpTo(at)
		before := was.Defaults(k.Name)
		used, hadUse := len(defaults) > 0, len(before) > 0
		switch {
		case used && (at >= chosen || !hadUse || sameValues(before, defaults)):
			continue
		case !used && slices.ContainsFunc(k.uses, func(u loss.Use) bool { return u.Neutral == g.value }):
			if !l.trl.theirs { // TRL's keys are the same for all losses
				l.warn(g.place, "%v does nothing, and loss %s does not use it; leave it out", g.value, now.Name)
			}
		case at >= chosen:
			l.problem(g.place, "%s", now.Unused(k.Name))
		case used:
			l.warn(g.place, "%v was meant for loss %s and is not carried over to loss %s, its default is %s; a value for it is given where the loss is", g.value, was.Name, now.Name, words(defaults))
		case hadUse:
			l.warn(g.place, "%v was meant for loss %s and is not carried over to loss %s, which does not use it", g.value, was.Name, now.Name)
		default:
			l.warn(g.place, "%v is ignored: %s", g.value, now.Unused(k.Name))
		}
		for layer := range l.layers {
			delete(l.layers[layer], k.Name)
		}
	}
}

// sameValues says that two lists, none of which has a value twice, hold the same ones.
func sameValues(a, b []any) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(v any) bool { return !slices.Contains(b, v) })
}

// lossUpTo is the loss that the layers up to the given one choose, and the layer that does.
func (l *loader) lossUpTo(upTo Layer) (loss.Info, Layer) {
	g, layer, _ := l.top("loss", upTo)
	name, _ := g.value.(string)
	info, _ := loss.Of(name)
	return info, layer
}

// words are values as text: 0.1 or 2.
func words(values []any) string {
	text := make([]string, len(values))
	for i, v := range values {
		text[i] = fmt.Sprint(v)
	}
	return either(text)
}

// resolve lays the layers over each other.
func (l *loader) resolve() (*Resolved, error) {
	v := viper.New()
	r := &Resolved{origins: map[string]Layer{}}
	for i, values := range l.layers {
		for name, g := range values {
			if k, _ := find(l.keys, name); k.structured() {
				r.origins[name] = Layer(i)
				continue
			}
			switch layer := Layer(i); layer {
			case Default:
				v.SetDefault(name, g.value)
				continue
			case Flag:
				v.Set(name, g.value)
			default: // viper reads variables of the process only, so ours go over the file's values
				if err := v.MergeConfigMap(map[string]any{name: g.value}); err != nil {
					return nil, err
				}
			}
			r.origins[name] = Layer(i)
		}
	}
	if err := v.UnmarshalExact(&r.Options); err != nil {
		return nil, err
	}
	for _, k := range l.keys {
		if g, _, ok := l.top(k.Name, Flag); ok && k.structured() {
			reflect.ValueOf(&r.Options).Elem().FieldByIndex(k.index).Set(reflect.ValueOf(g.value))
		}
	}
	return r, nil
}

// maxStep bounds counts of steps and pairs, so that no product or sum of them overflows.
const maxStep = math.MaxInt32

// rules are those between keys and those that tags cannot say. It fills in what depends on the loss.
func (l *loader) rules(o *train.Options) {
	info, _ := loss.Of(o.Loss)
	l.takeOwn(o)
	settings, err := info.Settings(o.LossSettings)
	if err == nil {
		_, err = loss.New(o.Loss, settings)
	}
	if wrong, ok := errors.AsType[*loss.SettingError](err); ok && !l.noLoss {
		l.problem(l.place(wrong.Key), "%s", wrong.Text)
	}
	o.LossSettings = settings
	for _, k := range []struct {
		name  string
		value float64
	}{{"warmup_steps", o.WarmupSteps}, {"logging_steps", o.LoggingSteps}, {"eval_steps", o.EvalSteps}, {"save_steps", o.SaveSteps}} {
		if k.value >= 1 && (k.value != math.Trunc(k.value) || k.value > maxStep) {
			l.problem(l.place(k.name), "%v; want a share of all steps below 1, or a whole number of steps up to %d", k.value, maxStep)
		}
	}
	if o.NumTrainEpochs > maxStep {
		l.problem(l.place("num_train_epochs"), "%v is out of range; want at most %d", o.NumTrainEpochs, maxStep)
	}
	if a, b := o.PerDeviceTrainBatchSize, o.GradientAccumulationSteps; a > maxStep/b {
		l.problem(l.place("per_device_train_batch_size"), "%d, times gradient_accumulation_steps %d, is out of range; want at most %d pairs a step", a, b, maxStep)
	}
	if info.Needs.Lists && o.Rows.RankedPairs != "best_worst" { // a resolved config has the key always
		l.warn(l.place("ranked_pairs"), "not used, because loss %s takes ranked rows as lists; leave it out", o.Loss)
	}
	if err := o.Rows.CheckKwargs(); err != nil {
		l.problem(l.place("chat_template_kwargs"), "%v", err)
	}
	l.dataRules(o)
	l.evalRules(o)
	l.referenceRules(o, info.Needs)
	l.bestRules(o, info.Needs)
	l.scheduleRules(o)
	if o.TrustRefLogps && !info.Needs.Reference {
		l.warn(l.place("trust_ref_logps"), "not used, because loss %s has no reference; leave it out", o.Loss)
	}
	if o.WarmupSteps > 0 && o.WarmupRatio > 0 {
		l.warn(l.place("warmup_ratio"), "not used, because warmup_steps is given (%v); leave one of them out", o.WarmupSteps)
	}
}

// takeOwn adds the hyperparameters that the list of losses gives.
func (l *loader) takeOwn(o *train.Options) {
	own := l.own()
	if o.LossSettings == nil {
		o.LossSettings = loss.Settings{}
	}
	for _, key := range slices.Sorted(maps.Keys(own)) {
		name, shared, _ := loss.CutOwnKey(key)
		if name != o.Loss {
			o.LossSettings[key] = own[key].value
			continue
		}
		if _, twice := o.LossSettings[shared]; twice { // a list of one loss, which is that loss
			l.problem(l.place(shared), "loss %s has a value of its own in the list of losses; change it there, or leave this out", name)
		}
		o.LossSettings[shared] = own[key].value
	}
}

// dataRules are those of keys that take each other's place: the one that was given above the other goes.
func (l *loader) dataRules(o *train.Options) {
	for _, k := range []struct {
		one, other    string
		has           bool // both
		clear, clear2 func()
	}{
		{"data", "datasets", o.Data != "" && o.Datasets != nil, func() { o.Data = "" }, func() { o.Datasets = nil }},
		{"eval_data", "eval_fraction", o.EvalData != "" && o.EvalFraction > 0, func() { o.EvalData = "" }, func() { o.EvalFraction = 0 }},
	} {
		if !k.has {
			continue
		}
		a, at, _ := l.top(k.one, Flag)
		b, above, _ := l.top(k.other, Flag)
		switch {
		case at == above:
			l.problem(b.place, "given together with %s; leave one of them out", k.one)
		case at > above:
			l.note(b.place, "%s takes its place", a.place)
			k.clear2()
		default:
			l.note(a.place, "%s takes its place", b.place)
			k.clear()
		}
	}
}

// evalRules are those of evaluation.
func (l *loader) evalRules(o *train.Options) {
	_, strategy, _ := l.top("eval_strategy", Flag)
	_, steps, _ := l.top("eval_steps", Flag)
	if o.EvalStrategy == "steps" && strategy > Default && steps == Default {
		o.EvalSteps = o.LoggingSteps // as TRL does; who asks for nothing gets the evaluation at the end
	}
	why := "there is no eval_data; give a file of held-out pairs, or eval_fraction"
	if o.EvalStrategy == "no" {
		if why = "eval_strategy is no; give steps or epoch"; o.EvalData != "" {
			l.warn(l.place("eval_data"), "not used, because %s, or leave it out", why)
		}
	} else if o.EvalData != "" || o.EvalFraction > 0 {
		return
	}
	if o.EvalStrategy == "epoch" || o.EvalStrategy == "steps" && l.trl.theirs && l.given("eval_strategy") { // a resolved config has steps always
		l.warn(l.place("eval_strategy"), "not used, because %s, or leave it out", why)
	}
	if o.EvalOnStart {
		l.warn(l.place("eval_on_start"), "not used, because %s, or leave it out", why)
	}
	if o.SamplePrompts > 0 {
		l.warn(l.place("sample_prompts"), "not used, because %s, or leave it out", why)
	}
}

// referenceRules are those of the reference: one that is renewed, and that of a loss which needs none.
func (l *loader) referenceRules(o *train.Options, n loss.Needs) {
	if o.ReferenceUpdateSteps != nil && !n.Reference {
		l.problem(l.place("reference_update_steps"), "loss %s has no reference that could be renewed; leave it out, or take a loss with a reference", o.Loss)
	}
	if m, ok := eval.Find(o.BestMetric()); ok && o.ReferenceUpdateSteps != nil && !m.Policy {
		l.warn(l.place("reference_update_steps"), "evaluations on two sides of a renewal are measured against two references, so that %s does not say which checkpoint is the best; give a metric_for_best_model of the policy alone, as logps/chosen or, of pairs, logps/accuracies", m.Name)
	}
	if o.ReferenceUpdateSteps == nil && o.ReferenceMixup != 1 {
		l.warn(l.place("reference_mixup"), "not used, because the reference is not renewed; give reference_update_steps, or leave it out")
	}
	if n.Reference && o.MonitorReference == "false" {
		l.warn(l.place("monitor_reference"), "not used, because loss %s needs the reference and has these metrics anyway; leave it out", o.Loss)
	}
}

// bestRules are those of the best checkpoint. The loss needs what is given.
func (l *loader) bestRules(o *train.Options, n loss.Needs) {
	const key = "metric_for_best_model"
	given := o.GreaterIsBetter
	if o.BestMetric() == "" {
		if given != nil {
			l.warn(l.place("greater_is_better"), "not used, because there is no %s; give one, or leave it out", key)
		}
		return
	}
	if o.EvalStrategy == "no" {
		l.problem(l.place("eval_strategy"), "no, and without evaluations no checkpoint is the best; give steps or epoch, or leave out metric_for_best_model, load_best_model_at_end and save_strategy best")
	}
	monitored := n
	monitored.Reference = true
	if o.MonitorReference == "true" {
		n = monitored
	}
	var names []string
	for _, m := range eval.MetricsOf(n) {
		names = append(names, m.Name)
	}
	m, ok := eval.Find(o.BestMetric())
	switch {
	case ok && m.Of(monitored) && !m.Of(n):
		l.problem(l.place(key), "%s; loss %s has no reference, and evaluations have this metric only with monitor_reference: true", show(o.MetricForBestModel), o.Loss)
	case !ok || !m.Of(n):
		l.problem(l.place(key), "%s; no metric of the evaluations of loss %s; docs/metrics.md has them%s", show(o.MetricForBestModel), o.Loss, DidYouMean(o.BestMetric(), names))
	case m.Better == 0 && given == nil:
		l.problem(l.place(key), "%s is not better for being higher or lower; say with greater_is_better which is meant", m.Name)
	case given != nil && m.Better != 0 && *given != (m.Better > 0):
		l.warn(l.place("greater_is_better"), "%v makes the worst %s the best; leave it out unless that is meant", *given, m.Name)
	}
}

// scheduleRules are those of the learning rate.
func (l *loader) scheduleRules(o *train.Options) {
	const least = "cosine_with_min_lr"
	switch {
	case o.LRSchedulerType == least && o.MinLR == nil && o.MinLRRate == nil:
		l.problem(l.place("lr_scheduler_type"), "%s needs the rate to end at; give min_lr, or min_lr_rate as a share of learning_rate", least)
	case o.LRSchedulerType == least && o.MinLR != nil && o.MinLRRate != nil:
		l.problem(l.place("min_lr_rate"), "given together with min_lr; leave one of them out")
	case o.LRSchedulerType == least && o.MinLR != nil && *o.MinLR > o.LearningRate:
		l.problem(l.place("min_lr"), "%v is above learning_rate %v, from which the rate falls", *o.MinLR, o.LearningRate)
	}
	for _, k := range []struct {
		name  string
		given bool
		used  string
	}{{"min_lr", o.MinLR != nil, least}, {"min_lr_rate", o.MinLRRate != nil, least}, {"timescale", o.Timescale != 0, "inverse_sqrt"}} {
		if k.given && o.LRSchedulerType != k.used {
			l.warn(l.place(k.name), "not used by lr_scheduler_type %s but by %s alone; leave it out", o.LRSchedulerType, k.used)
		}
	}
	for _, k := range []struct {
		name  string
		value float64
	}{{"warmup_steps", o.WarmupSteps}, {"warmup_ratio", o.WarmupRatio}} {
		if k.value > 0 && o.LRSchedulerType == "constant" {
			l.warn(l.place(k.name), "not used by lr_scheduler_type constant, which has no warm-up, as in transformers; use constant_with_warmup")
		}
	}
}

// readVariables reads the DPOTRAIN_KEY variables. Letter case does not matter, as on Windows.
func (l *loader) readVariables(environ []string) {
	seen := map[string]string{}
	for _, e := range slices.Sorted(slices.Values(environ)) {
		name, text, _ := strings.Cut(e, "=")
		key, ours := strings.CutPrefix(strings.ToUpper(name), variablePrefix)
		if !ours || text == "" || name == "DPOTRAIN_TESTDATA" {
			continue
		}
		k, ok := find(l.keys, strings.ToLower(key))
		if !ok {
			did := ""
			if n := suggest(l.keys, strings.ToLower(key)); n != "" {
				did = fmt.Sprintf(" (did you mean %s?)", variable(n))
			}
			if _, theirs := trlTable[strings.ToLower(key)]; theirs {
				did = "; TRL's keys are for config files, variables have the names of dpotrain's own"
			}
			l.warn(show(name), "no such setting%s", did)
			continue
		}
		if l.once(seen, k, name, name) {
			l.text(Variable, k, text, name)
		}
	}
}

// readFlags reads the flags that were given.
func (l *loader) readFlags(fs *pflag.FlagSet) {
	if fs == nil {
		return
	}
	seen := map[string]string{}
	fs.Visit(func(f *pflag.Flag) {
		if v, ok := f.Value.(*flagValue); ok {
			if place := "--" + f.Name; l.once(seen, v.key, place, place) {
				l.text(Flag, v.key, v.text, place)
			}
		}
	})
}

// once says that a setting was not seen before in this layer, be it under its other name.
func (l *loader) once(seen map[string]string, k Key, name, place string) bool {
	before, twice := seen[k.Name]
	switch {
	case !twice:
		seen[k.Name] = name
	case before == name:
		l.problem(place, "given twice; leave one out")
	default:
		l.problem(place, "the same setting as %s, which is given too; leave one out", before)
	}
	return !twice
}
