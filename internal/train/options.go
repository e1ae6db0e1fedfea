package train

import (
	"dpotrain/internal/compute"
	"dpotrain/internal/data"
	"dpotrain/internal/loss"
)

// Options are everything a run is made of. The field tags are the keys users write, in YAML, as flags and as
// variables (see package config); the order of the fields is the order of the resolved config file. Defaults are
// TRL's where TRL has the key.
type Options struct {
	Model           string            `mapstructure:"model" alias:"model_name_or_path" validate:"required" help:"folder of the model to tune: config.json, safetensors, tokenizer.json" path:"dir"`
	RefModel        string            `mapstructure:"ref_model" help:"folder of the reference model; default: model" path:"dir"`
	Data            string            `mapstructure:"data" help:"training pairs: JSONL, JSON, CSV or parquet; a file, a folder of them or a pattern" path:"file"`
	EvalData        string            `mapstructure:"eval_data" help:"held-out pairs, as data; none: no evaluation and no best checkpoint" path:"file"`
	EvalFraction    float64           `mapstructure:"eval_fraction" default:"0" validate:"gte=0,lt=1" help:"share of the training prompts that is held out, with all that answers them, in place of eval_data; which ones is told by the prompts alone"`
	Datasets        []data.Source     `mapstructure:"datasets" help:"data sets to train on in place of data, mixed: a list of maps with path, split, columns, weight or fraction, and filter; docs/formats.md"`
	Columns         map[string]string `mapstructure:"columns" help:"names of columns in data, eval_data and datasets, by those that are read: {prompt: question, chosen: better}"`
	OutputDir       string            `mapstructure:"output_dir" help:"folder the run writes: model, dpotrain.yaml, metrics.jsonl, checkpoints" path:"dir"`
	Overwrite       bool              `mapstructure:"overwrite" alias:"overwrite_output_dir" default:"false" help:"replace a run that is in output_dir; only files that dpotrain wrote are removed"`
	RefCacheDir     string            `mapstructure:"ref_cache_dir" default:"ref_cache" help:"folder of the reference log-probs on disk; shared by all runs" path:"dir"`
	TokenCacheDir   string            `mapstructure:"token_cache_dir" default:"token_cache" help:"folder of the token ids of data sets of 4 MiB and more, so that the next run need not make them again; it may be deleted at any time" path:"dir"`
	TokenCacheLimit string            `mapstructure:"token_cache_limit" default:"20GB" size:"none" help:"bytes that the files in token_cache_dir may take together; those used longest ago are removed, but none that the run uses; none = no limit"`

	MonitorReference string `mapstructure:"monitor_reference" default:"auto" validate:"oneof=auto true false" help:"whether a loss without a reference is monitored against ref_model, in the metrics shift/*, displacement/* and length/*; the loss stays as it is: auto (if ref_cache_dir has the log-probs of all rows; nothing is computed), true (what is missing is computed) or false"`

	ReferenceUpdateSteps *int    `mapstructure:"reference_update_steps" validate:"omitempty,gte=1" help:"optimizer steps after which the policy becomes the new reference, again and again (TR-DPO); its weights are kept beside the policy's; default: the reference stays as it is"`
	ReferenceMixup       float64 `mapstructure:"reference_mixup" default:"1" validate:"gt=0,lte=1" help:"how much of the policy goes into the reference at a renewal: reference = mixup * policy + (1 - mixup) * reference"`

	TrustRefLogps bool `mapstructure:"trust_ref_logps" default:"false" help:"take the reference's log-probs from the columns ref_chosen_logps and ref_rejected_logps, in nats, summed; no pass one is made. Where policy and reference are one model, the first step holds the two against each other"`

	Loss         string        `mapstructure:"loss" alias:"loss_type" default:"dpo" help:"the loss"`
	LossSettings loss.Settings `mapstructure:",remain"` // a key for each hyperparameter of package loss; those of Loss are here, all of them; of a sum by keys as dpo.beta

	Rows    data.Options    `mapstructure:",squash"`
	Compute compute.Options `mapstructure:",squash"`

	PerDeviceTrainBatchSize   int    `mapstructure:"per_device_train_batch_size" default:"8" validate:"gte=1" help:"pairs a micro-step; times gradient_accumulation_steps it gives the pairs of an optimizer step"`
	GradientAccumulationSteps int    `mapstructure:"gradient_accumulation_steps" default:"1" validate:"gte=1" help:"see per_device_train_batch_size; only the product of the two matters"`
	MicroBatchTokens          int    `mapstructure:"micro_batch_tokens" default:"0" validate:"gte=0" help:"rows computed together; fewer use less memory, and results move by rounding; a longer single pair is computed alone; 0 = 2048, or what memory_limit leaves room for"`
	MemoryLimit               string `mapstructure:"memory_limit" default:"auto" size:"auto" help:"memory the program may take, such as 3GiB, 3.5GB or a number of bytes; a run that does not fit is refused before it starts; auto = nine tenths of what is free"`
	GradientCheckpointing     bool   `mapstructure:"gradient_checkpointing" default:"false" help:"keep of each block its input alone and compute the block again on the way back: far less memory for activations, about a third more time; results are the same bits"`

	LearningRate    float64  `mapstructure:"learning_rate" default:"1e-6" validate:"gte=0" help:"peak learning rate"`
	LRSchedulerType string   `mapstructure:"lr_scheduler_type" default:"linear" validate:"oneof=linear cosine cosine_with_min_lr constant constant_with_warmup inverse_sqrt" help:"how the rate falls after warm-up: linear, cosine, cosine_with_min_lr, constant_with_warmup or inverse_sqrt; constant has no warm-up"`
	MinLR           *float64 `mapstructure:"min_lr" validate:"omitempty,gte=0" help:"rate at which cosine_with_min_lr ends; either this or min_lr_rate"`
	MinLRRate       *float64 `mapstructure:"min_lr_rate" validate:"omitempty,gte=0,lte=1" help:"rate at which cosine_with_min_lr ends, as a share of learning_rate"`
	Timescale       int      `mapstructure:"timescale" default:"0" validate:"gte=0" help:"steps of the fall of inverse_sqrt: rate = peak * sqrt(timescale / (step - warm-up + timescale)); 0 = the steps of warm-up, 10000 without one"`
	WarmupRatio     float64  `mapstructure:"warmup_ratio" default:"0" validate:"gte=0,lte=1" help:"share of all steps in which the rate rises from 0; warmup_steps goes first"`
	WarmupSteps     float64  `mapstructure:"warmup_steps" default:"0" validate:"gte=0" help:"steps in which the rate rises from 0; below 1: a share of all steps"`
	Optim           string   `mapstructure:"optim" default:"adamw" validate:"oneof=adamw adamw_bf16" help:"optimizer: adamw (moments in float32, 8 bytes a parameter) or adamw_bf16 (moments in bf16 with stochastic rounding, 4 bytes a parameter)"`
	WeightDecay     float64  `mapstructure:"weight_decay" default:"0" validate:"gte=0" help:"AdamW's decoupled decay; biases and norm weights are left out"`
	AdamBeta1       float64  `mapstructure:"adam_beta1" default:"0.9" validate:"gte=0,lt=1" help:"AdamW's decay of the first moment"`
	AdamBeta2       float64  `mapstructure:"adam_beta2" default:"0.999" validate:"gte=0,lt=1" help:"AdamW's decay of the second moment"`
	AdamEpsilon     float64  `mapstructure:"adam_epsilon" default:"1e-8" validate:"gt=0" help:"AdamW's epsilon"`
	MaxGradNorm     float64  `mapstructure:"max_grad_norm" default:"1" validate:"gte=0" help:"global l2 norm to which gradients are clipped; 0 = no clipping"`
	OnNonfinite     string   `mapstructure:"on_nonfinite" default:"stop" validate:"oneof=stop skip" help:"what a step does whose loss or gradient is not finite, and which is never applied: stop (end the run) or skip (go on without it)"`

	NumTrainEpochs float64 `mapstructure:"num_train_epochs" default:"3" validate:"gt=0" help:"passes over the training pairs"`
	MaxSteps       int     `mapstructure:"max_steps" default:"-1" validate:"gte=-1" help:"optimizer steps; above 0 it takes the place of num_train_epochs"`
	LoggingSteps   float64 `mapstructure:"logging_steps" default:"10" validate:"gt=0" help:"steps between console lines; below 1: a share of all steps"`
	EvalStrategy   string  `mapstructure:"eval_strategy" default:"steps" validate:"oneof=steps epoch no" help:"when eval_data is evaluated: steps (every eval_steps), epoch (after each one) or no; the first two also at the end"`
	EvalSteps      float64 `mapstructure:"eval_steps" default:"0" validate:"gte=0" help:"steps between evaluations; below 1: a share of all steps; 0 = at the end only; default where eval_strategy steps is given: logging_steps"`
	EvalOnStart    bool    `mapstructure:"eval_on_start" default:"false" help:"evaluate before the first step too, and show before and after at the end"`
	SamplePrompts  int     `mapstructure:"sample_prompts" default:"0" validate:"gte=0,lte=100" help:"held-out prompts whose answers are shown at the end, as the model gives them before and after training (greedy decoding); the first of eval_data"`
	MaxNewTokens   int     `mapstructure:"max_new_tokens" default:"64" validate:"gte=1" help:"length of the answers to sample_prompts in tokens, at most"`
	SaveStrategy   string  `mapstructure:"save_strategy" default:"steps" validate:"oneof=steps epoch best no" help:"when checkpoints are saved: steps (every save_steps), epoch (after each one), best (see metric_for_best_model) or no (none but on interruption)"`
	SaveSteps      float64 `mapstructure:"save_steps" default:"500" validate:"gte=0" help:"steps between checkpoints; below 1: a share of all steps; 0 = none but on interruption"`
	SaveTotalLimit int     `mapstructure:"save_total_limit" default:"0" validate:"gte=0" help:"checkpoints kept, the newest; the best one is kept too; 0 = all"`
	SaveDtype      string  `mapstructure:"save_dtype" default:"float32" validate:"oneof=float32 bfloat16 float16" help:"number format of saved weights: float32, bfloat16 or float16"`

	MetricForBestModel string `mapstructure:"metric_for_best_model" help:"metric of an evaluation, with or without eval_ in front, that says which checkpoint is the best: each checkpoint is evaluated, and each evaluation that is the best so far is saved; default: none, but loss with load_best_model_at_end or save_strategy best"`
	GreaterIsBetter    *bool  `mapstructure:"greater_is_better" help:"whether higher values of metric_for_best_model are better; default: as the metric is"`
	LoadBestModelAtEnd bool   `mapstructure:"load_best_model_at_end" default:"false" help:"the tuned model is the best checkpoint's, not that of the last step"`

	ResumeFromCheckpoint string `mapstructure:"resume_from_checkpoint" help:"checkpoint folder to go on from, or latest; the same as --resume" path:"dir"`
}
