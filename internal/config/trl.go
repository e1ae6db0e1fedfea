package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"dpotrain/internal/loss"
	"dpotrain/internal/train"
)

// A file may be one that was written for TRL. This file says how TRL's keys are read, and trl_rows.go has the table of
// them, which docs/coming-from-trl.md shows to users. Variables and flags know our keys and their aliases only.

// fate says what becomes of a key of TRL's.
type fate int

const (
	same       fate = iota // it is a key of ours
	translated             // other keys of ours say it
	unused                 // it changes nothing here; said once for all of them
	refused                // it asks for what is not here: an error, unless its value asks for nothing
)

// trlRow is what becomes of one key.
type trlRow struct {
	key  string
	fate fate
	text string // same: what is special; translated: into what; unused: why; refused: why, and what to do; an error's text
	from string // where the key comes from, if not from TRL 1 with transformers 5

	idle  []string                      // refused: the values that ask for nothing, as plainText writes them
	means map[string]string             // same: our value for a value of TRL's, as plainText writes it; empty: as if not given
	near  map[string]string             // same: of those our values that are not quite what TRL's say, what a warning says
	read  func(l *loader, g foreignKey) // translated: reads the value, and is nil for an alias; unused: says more
}

// foreign says that the key is not read as one of ours.
func (r *trlRow) foreign() bool {
	return r != nil && (r.fate == unused || r.fate == refused || r.fate == translated && r.read != nil)
}

// trlTable has the rows by key. It is made by init, for the rows' functions read it.
var trlTable = map[string]*trlRow{}

func init() {
	for i := range trlRows {
		trlTable[trlRows[i].key] = &trlRows[i]
	}
}

// FileOnly says that what was given as a flag is a key of TRL's, known in files alone.
func FileOnly(flag string) bool { return trlTable[strings.ReplaceAll(flag, "-", "_")].foreign() }

// foreignKey is a key of TRL's in a file.
type foreignKey struct {
	*trlRow
	name  string // as it stands there; of an entry of a map with the map's in front: lr_scheduler_kwargs.min_lr
	place string // as in Problem
	node  *yaml.Node
}

// trlFile is what was read of TRL's keys.
type trlFile struct {
	theirs    bool   // there is a key that is not one of ours
	path      string // of the file
	unused    []string
	half      []foreignKey // those that ask for numbers of 16 bits
	bf16      string       // the place of the first that asks for bf16
	processes foreignKey   // num_processes
	dataSeed  foreignKey
	sync      map[string]foreignKey // sync_ref_model and the keys that go with it
	weights   foreignKey            // loss_weights
	weighted  bool                  // an entry of the list of losses has a weight
	datasets  []foreignKey          // dataset_name, datasets
	dataset   map[string]string     // what else is said of the data, as plainText writes it
}

// foreign reads a key that is not simply one of ours.
func (l *loader) foreign(g foreignKey) {
	l.trl.theirs = true
	switch {
	case g.fate == refused && !slices.Contains(g.idle, plainText(g.node)):
		l.problem(g.place, "%s", g.text)
	case g.fate == unused:
		l.trl.unused = append(l.trl.unused, g.name)
	}
	if g.read != nil {
		g.read(l, g)
	}
}

// given says that a key is given, by any of its names.
func (l *loader) given(names ...string) bool {
	return slices.ContainsFunc(names, func(name string) bool {
		_, inFile := l.inFile[name]
		_, layer, _ := l.top(name, Flag)
		return inFile || layer > Default
	})
}

// become gives one of our keys the value that follows from g.
func (l *loader) become(g foreignKey, name, text string) {
	if k, ok := find(l.keys, name); ok && l.once(l.inFile, k, g.name, g.place) {
		l.text(File, k, text, g.place)
	}
}

// yes reads a value that is true or false; null is false.
func (l *loader) yes(g foreignKey) bool {
	v := plainText(g.node)
	if v != "true" && v != "false" && v != "null" {
		l.problem(g.place, "%s; want true or false", show(v))
	}
	return v == "true"
}

// entries are those of a map, which TRL takes as a text in JSON too.
func (l *loader) entries(g foreignKey) (list []foreignKey) {
	n := g.node
	if n.Kind == yaml.ScalarNode && strings.HasPrefix(n.Value, "{") {
		var doc yaml.Node
		if yaml.Unmarshal([]byte(n.Value), &doc) == nil && len(doc.Content) == 1 {
			n = doc.Content[0]
		}
	}
	if n.Kind != yaml.MappingNode {
		if v := plainText(n); v != "null" {
			l.problem(g.place, "%s; want a map of names to values", show(v))
		}
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name := n.Content[i].Value
		list = append(list, foreignKey{g.trlRow, g.name + "." + name, g.place + ": " + show(name), n.Content[i+1]})
	}
	return list
}

// plainText is a value in a form to compare: null, true, false, a number as Go writes it, a text as it stands, [a b] for a
// list of those, {} for a map without entries, and ... for anything else. As for TRL, yes and no without quotes are true
// and false (YAML 1.1), and so are "true" and "false" in quotes.
func plainText(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null":
		return "null"
	case n.Kind == yaml.ScalarNode:
		switch v := strings.ToLower(n.Value); {
		case v == "true", n.Style == 0 && (v == "yes" || v == "on"):
			return "true"
		case v == "false", n.Style == 0 && (v == "no" || v == "off"):
			return "false"
		}
		if f, err := strconv.ParseFloat(n.Value, 64); err == nil && n.ShortTag() != "!!str" {
			return strconv.FormatFloat(f, 'g', -1, 64)
		}
		return n.Value
	case n.Kind == yaml.SequenceNode:
		var items []string
		for _, c := range n.Content {
			if c.Kind != yaml.ScalarNode {
				return "..."
			}
			items = append(items, plainText(c))
		}
		return "[" + strings.Join(items, " ") + "]"
	case n.Kind == yaml.MappingNode && len(n.Content) == 0:
		return "{}"
	}
	return "..."
}

// readLossType reads a loss, or a list of losses that are summed.
func readLossType(l *loader, g foreignKey) {
	k, _ := find(l.keys, "loss")
	if !l.once(l.inFile, k, g.name, g.place) {
		return
	}
	if g.node.Kind == yaml.SequenceNode {
		l.lossList(k, g.name, g.node, g.place)
		return
	}
	v, err := scalar(k, g.node)
	if err != nil {
		l.problem(g.place, "%v", err)
	} else if name, ok := v.(string); ok && !l.onlyTRL(name, g.place) {
		l.give(File, k, v, g.place)
	}
}

// onlyTRL says that a name is that of a loss which TRL has and which is not here, if it is.
func (l *loader) onlyTRL(name, place string) bool {
	if _, here := loss.Describe(name); here || loss.Refused(name) != "" || !slices.Contains(trlLosses, name) {
		return false
	}
	l.noLoss = true
	l.problem(place, "%s is a loss of TRL's that is not here; \"dpotrain losses\" lists those that are", name)
	return true
}

// trlLosses are the values of loss_type in TRL 1.16.
var trlLosses = []string{"sigmoid", "hinge", "ipo", "exo_pair", "nca_pair", "robust", "bco_pair", "sppo_hard", "aot", "aot_unpaired", "apo_zero", "apo_down",
	"discopop", "sft", "sigmoid_norm"}

// readHalf reads bf16, fp16 and the like.
func readHalf(l *loader, g foreignKey) {
	if l.yes(g) {
		l.half(g, strings.HasPrefix(g.key, "bf16"))
	}
}

// half keeps a key that asks for numbers of 16 bits; fileRead decides.
func (l *loader) half(g foreignKey, bf16 bool) {
	l.trl.half = append(l.trl.half, g)
	if bf16 && l.trl.bf16 == "" {
		l.trl.bf16 = g.place
	}
}

// readDtype reads the number format of a model in memory.
func readDtype(l *loader, g foreignKey) {
	switch v := strings.TrimPrefix(plainText(g.node), "torch."); v {
	case "null", "auto", "float32", "no", "false":
	case "bfloat16", "bf16", "float16", "fp16", "half":
		l.half(g, v[0] == 'b')
	default:
		l.problem(g.place, "%s; want auto, bfloat16, float16 or float32", show(v))
	}
}

// readModelKwargs reads what TRL hands to from_pretrained.
func readModelKwargs(l *loader, g foreignKey) {
	for _, e := range l.entries(g) {
		switch name := strings.TrimPrefix(e.name, g.name+"."); {
		case name == "dtype", name == "torch_dtype":
			readDtype(l, e)
		case plainText(e.node) == "null":
		case slices.Contains(modelKwargs, name):
			l.trl.unused = append(l.trl.unused, e.name)
		default:
			l.problem(e.place, "a model has no such setting here; drop it")
		}
	}
}

// modelKwargs are arguments of from_pretrained that change nothing here.
var modelKwargs = []string{"attn_implementation", "cache_dir", "device_map", "local_files_only", "low_cpu_mem_usage", "revision", "token", "trust_remote_code",
	"use_cache", "use_kernels", "use_safetensors"}

// readScheduleKwargs reads the settings of a learning rate schedule.
func readScheduleKwargs(l *loader, g foreignKey) {
	for _, e := range l.entries(g) {
		name, v := strings.TrimPrefix(e.name, g.name+"."), plainText(e.node)
		switch {
		case v == "null", name == "num_cycles" && v == "0.5": // half a wave, as every cosine here
		case name == "min_lr", name == "min_lr_rate", name == "timescale":
			l.become(e, name, v)
		default:
			l.problem(e.place, "no schedule has such a setting here; drop it, or choose another lr_scheduler_type")
		}
	}
}

// readSampling reads in which order rows are trained.
func readSampling(l *loader, g foreignKey) {
	switch v := plainText(g.node); v {
	case "random", "false", "null":
	case "sequential":
		l.become(g, "shuffle", "false")
	case "group_by_length", "batch_rebalance", "true":
		l.warn(g.place, "pairs come in random order here; there is no padding that an order by length could save")
	default:
		l.problem(g.place, "%s; want random or sequential", show(v))
	}
}

// readDropLast warns, for here the pairs are trained that TRL drops.
func readDropLast(l *loader, g foreignKey) {
	if l.yes(g) {
		l.warn(g.place, "the pairs left over at the end of an epoch are trained here too, in a shorter step")
	}
}

// readWeighting reads whether pairs are weighted as in WPO.
func readWeighting(l *loader, g foreignKey) {
	if l.yes(g) {
		l.become(g, "wpo", "true")
	}
}

func readStrategy(l *loader, g foreignKey) { l.become(g, "eval_strategy", g.node.Value) }
func readDataSeed(l *loader, g foreignKey) { l.trl.dataSeed = g }

// readSync keeps a key of the renewal of the reference; syncReference puts them together.
func readSync(l *loader, g foreignKey) {
	if l.trl.sync == nil {
		l.trl.sync = map[string]foreignKey{}
	}
	l.trl.sync[g.key] = g
}

// syncReference renews the reference as TRL does, or says that the keys of it have no effect.
func (l *loader) syncReference() {
	g, given := l.trl.sync["sync_ref_model"]
	renews := given && l.yes(g)
	for _, k := range []struct{ theirs, ours, normal string }{{"ref_model_sync_steps", "reference_update_steps", "512"}, {"ref_model_mixup_alpha", "reference_mixup", "0.6"}} {
		value, own := l.trl.sync[k.theirs]
		switch {
		case renews && own:
			l.become(value, k.ours, value.node.Value)
		case renews:
			l.become(g, k.ours, k.normal)
		case own:
			l.trl.unused = append(l.trl.unused, value.name)
		}
	}
}

func readWeights(l *loader, g foreignKey)   { l.trl.weights = g }
func readProcesses(l *loader, g foreignKey) { l.trl.processes = g }

func readDataset(l *loader, g foreignKey) {
	if v := plainText(g.node); v != "null" && v != "[]" {
		l.trl.datasets = append(l.trl.datasets, g)
	}
}

func readDatasetDetail(l *loader, g foreignKey) {
	if l.trl.dataset == nil {
		l.trl.dataset = map[string]string{}
	}
	l.trl.dataset[g.key] = plainText(g.node)
}

// fileRead decides, at the end of the file, what depends on more than one of its keys.
func (l *loader) fileRead() {
	l.lossWeights()
	l.syncReference()
	if g := l.trl.dataSeed; g.node != nil && plainText(g.node) != "null" {
		// The order of rows is all that is random here, and TRL orders them by data_seed.
		k, _ := find(l.keys, "seed")
		if seed, given := l.layers[File][k.Name]; given && fmt.Sprint(seed.value) != plainText(g.node) {
			l.warn(g.place, "takes the place of seed %v, for nothing but the order of the pairs is random here", seed.value)
		}
		l.text(File, k, g.node.Value, g.place)
	}
	// The one place that says what a wish for 16 bits becomes: precision: auto, which is bf16 on every CPU where it is faster, if bf16 is
	// what was asked for. Otherwise the run computes as it does without, and trlRules warns. It is no error, for the results come
	// out nearer to what is meant.
	k, _ := find(l.keys, "precision")
	if l.trl.bf16 != "" && !l.given(k.Name) {
		l.text(File, k, "auto", l.trl.bf16)
	}
}

// trlRules says what can be said of TRL's keys only when all layers are known.
func (l *loader) trlRules(o *train.Options) {
	t := &l.trl
	if !t.theirs {
		return
	}
	if g := t.processes; g.node != nil {
		l.count(g, o)
	}
	evaluates := l.given("eval_strategy") && o.EvalStrategy != "no"
	for _, g := range t.datasets {
		if o.Data == "" && o.Datasets == nil {
			l.problem(g.place, "%s", t.export(g, evaluates))
			continue
		}
		t.unused = append(t.unused, g.name)
	}
	if len(t.half) > 0 && !l.given("precision") {
		others := ""
		for _, g := range t.half[1:] {
			others += ", " + g.name
		}
		if others != "" {
			others = " (and" + others[1:] + ")"
		}
		l.warn(t.half[0].place+others, "computed in %s here; results are more exact, not less", o.Compute.Precision)
	}
	if len(t.unused) > 0 {
		l.note(t.path, "without effect here: %s", strings.Join(t.unused, ", "))
	}
	var differ []string
	for _, d := range trlDiffers {
		if d.bites != nil && d.bites(l, o) {
			differ = append(differ, fmt.Sprintf("%s is %s (TRL: %s)", d.what, d.ours, d.theirs))
		}
	}
	if len(differ) > 0 {
		l.note(t.path, "differs from TRL: %s", strings.Join(differ, "; "))
	}
}

// count makes a step as large as the number of processes makes it in TRL.
func (l *loader) count(g foreignKey, o *train.Options) {
	v := plainText(g.node)
	n, err := strconv.Atoi(v)
	switch _, layer, _ := l.top("gradient_accumulation_steps", Flag); {
	case v == "null" || n == 1:
	case err != nil || n < 1 || n > maxStep/o.GradientAccumulationSteps:
		if g.node.Kind == yaml.ScalarNode {
			v = g.node.Value
		}
		l.problem(g.place, "%s; want a number of processes, a whole number above 0", show(v))
	case layer <= File: // what was given for this run counts as it stands
		l.warn(g.place, "TRL runs %d processes, each with its pairs; gradient_accumulation_steps is %d x %d here, so that a step has as many", n, n, o.GradientAccumulationSteps)
		o.GradientAccumulationSteps *= n
	}
}

// export says how to write as JSONL what g names, in two lines of Python.
func (t *trlFile) export(g foreignKey, evaluates bool) string {
	const text = "rows are read from files here, given as data and eval_data: parquet files of the data set as they are, or what two lines of Python write:\n    from datasets import "
	if g.node.Kind != yaml.ScalarNode {
		return text + "concatenate_datasets, load_dataset\n    concatenate_datasets([" + strings.Join(calls(g.node), ", ") + `]).to_json("train.jsonl")`
	}
	files := []string{"train"}
	if evaluates {
		files = append(files, "test")
	}
	for i, split := range files {
		name := split
		if s := t.dataset["dataset_"+split+"_split"]; s != "" && s != "null" {
			name = s
		}
		files[i] = fmt.Sprintf("(%s, \"%s.jsonl\")", strconv.QuoteToASCII(name), split)
	}
	return fmt.Sprintf("%sload_dataset\n    for split, file in [%s]: load_dataset(%s, split=split).to_json(file)", text, strings.Join(files, ", "),
		arguments(g.node.Value, t.dataset["dataset_config"]))
}

// calls are those of load_dataset for what a mixture is made of: a list of maps with path, name and split (id and config
// in alignment-handbook, where it stands under datasets), or a map of paths to shares.
func calls(n *yaml.Node) (list []string) {
	if n.Kind == yaml.MappingNode {
		if inner := entry(n, "datasets"); inner != nil {
			return calls(inner)
		}
	}
	for i, c := range n.Content {
		text := func(keys ...string) string {
			for _, key := range keys {
				if e := entry(c, key); e != nil {
					return plainText(e)
				}
			}
			return "null"
		}
		path, split := text("path", "id"), text("split")
		if n.Kind == yaml.MappingNode {
			if path = c.Value; i%2 == 1 {
				continue // a share
			}
		}
		if split == "null" {
			split = "train"
		}
		list = append(list, fmt.Sprintf("load_dataset(%s, split=%s)", arguments(path, text("name", "config")), strconv.QuoteToASCII(split)))
	}
	return list
}

// arguments are those of load_dataset that name the rows.
func arguments(path, name string) string {
	if name == "" || name == "null" {
		return strconv.QuoteToASCII(path)
	}
	return strconv.QuoteToASCII(path) + ", " + strconv.QuoteToASCII(name)
}

// entry is the value of a map's entry, nil if there is none.
func entry(n *yaml.Node, key string) *yaml.Node {
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}
