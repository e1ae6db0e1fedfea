package config

import (
	"slices"

	"dpotrain/internal/loss"
	"dpotrain/internal/train"
)

// Where keys come from that TRL 1 with transformers 5 does not know any more, or that are not TRL's own.
const (
	fromTransformers4 = "transformers 4"
	fromTransformers5 = "earlier transformers 5"
	fromTRL0          = "TRL 0"
	fromAccelerate    = "accelerate launch"
	fromHandbook      = "alignment-handbook"
	fromCommand       = "trl dpo itself"
	fromCPO           = "TRL's CPOConfig"
	fromKTO           = "TRL's KTOConfig"
	fromSFT           = "TRL's SFTConfig"
)

// trlRows are the keys that `trl dpo --config FILE` takes (TRL 1.0 to 1.16, transformers 4.56 to 5.23), older ones, and
// those that go along with them. A test holds them against testdata/trl-keys.tsv, which scripts/list-trl-keys writes.
//
// To add a key: a row, and `go test ./internal/config -run TRLDoc -update`, which writes it into docs/coming-from-trl.md.
// When a key of TRL's becomes one of ours, its row becomes a same one; a test says so.
var trlRows = []trlRow{
	// The same, under the same name and with the same meaning.
	{key: "output_dir", text: "must be given; a run that is in it is not replaced unless you say so"},
	{key: "per_device_train_batch_size", text: "there is one device; memory does not depend on it (micro_batch_tokens)"},
	{key: "gradient_accumulation_steps"},
	{key: "chat_template", from: fromHandbook, text: "the template's text as there, or a file or a name: docs/chat-templates.md"},
	{key: "num_train_epochs"},
	{key: "max_steps"},
	{key: "learning_rate"},
	{key: "lr_scheduler_type", text: "all but cosine_with_restarts, polynomial, reduce_lr_on_plateau, cosine_warmup_with_min_lr, warmup_stable_decay and greedy"},
	{key: "warmup_steps"},
	{key: "warmup_ratio", from: fromTransformers5, means: map[string]string{"null": "0"}},
	{key: "weight_decay"},
	{key: "optim", means: optims, near: map[string]string{
		"adamw_bf16": "moments of 8 bits are not here; with 16 bits they take 4 bytes a parameter, where adamw takes 8",
	}, text: "there is AdamW only, with torch's formulas; any other optimizer is an error"},
	{key: "adam_beta1"},
	{key: "adam_beta2"},
	{key: "adam_epsilon"},
	{key: "max_grad_norm", means: map[string]string{"null": "0"}},
	{key: "logging_steps", text: "of the lines on the console; metrics.jsonl has every step"},
	{key: "eval_strategy", text: "`eval_data` has to be given"},
	{key: "eval_steps", means: map[string]string{"null": ""}, text: "as in TRL it is `logging_steps` where only eval_strategy: steps is given; 0 is one evaluation, at the end"},
	{key: "save_strategy"},
	{key: "save_steps"},
	{key: "load_best_model_at_end"},
	{key: "metric_for_best_model"},
	{key: "greater_is_better"},
	{key: "save_total_limit", means: map[string]string{"null": "0"}},
	{key: "seed", text: "the order of rows is another one for the same seed"},
	{key: "resume_from_checkpoint", means: map[string]string{"true": "latest", "false": ""}, text: "`latest` is the newest sound one in output_dir; also the flag --resume"},
	{key: "datasets", text: "paths of files or folders, with weight, fraction and filter besides split; a list of columns to keep has no effect"},
	{key: "max_length", means: map[string]string{"null": "0"}},
	{key: "truncation_mode"},
	{key: "beta"},
	{key: "label_smoothing", text: "of losses cdpo, robust, exo_pair, aot and aot_unpaired; TRL uses it for all of them but cdpo, which it has no more"},
	{key: "discopop_tau", text: "of loss discopop"},
	{key: "ld_alpha", means: map[string]string{"null": ""}, text: "of both models' sums, as in TRL since 0.29; an error with losses of means per token"},
	{key: "rpo_alpha", from: fromTRL0, means: map[string]string{"null": ""}, text: "of loss rpo, which is loss_type sigmoid there; the likelihood is the mean of each completion's tokens, TRL's that of all tokens of a batch"},
	{key: "cpo_alpha", from: fromCPO, text: "of loss cpo, which is loss_type sigmoid there; loss_type simpo with it is loss cpo_simpo, and its cpo_simpo_alpha"},
	{key: "eval_on_start"},
	{key: "gradient_checkpointing", text: "results are the same bits either way"},

	// Translated.
	{key: "overwrite_output_dir", fate: translated, from: fromTransformers4, text: "`overwrite`"},
	{key: "chat_template_path", fate: translated, from: fromSFT, text: "`chat_template`"},
	{key: "model_name_or_path", fate: translated, text: "`model`; a folder, not a name on the Hub"},
	{key: "loss_type", fate: translated, text: "`loss`; one name, or a list of losses that are summed; sigmoid is dpo", read: readLossType},
	{key: "loss_weights", fate: translated, text: "`loss`: the weights of the losses in its list", read: readWeights},
	{key: "bf16", fate: translated, text: "`precision: auto`: bf16 on every CPU where it is faster; see above", read: readHalf},
	{key: "fp16", fate: translated, text: "see below", read: readHalf},
	{key: "bf16_full_eval", fate: translated, text: "as bf16", read: readHalf},
	{key: "fp16_full_eval", fate: translated, text: "as fp16", read: readHalf},
	{key: "dtype", fate: translated, text: "as bf16 and fp16; auto and float32 say nothing", read: readDtype},
	{key: "torch_dtype", fate: translated, from: fromTRL0, text: "as dtype", read: readDtype},
	{key: "mixed_precision", fate: translated, from: fromAccelerate, text: "as bf16 and fp16", read: readDtype},
	{key: "model_init_kwargs", fate: translated, text: "dtype as above; attn_implementation and the like have no effect; others are refused", read: readModelKwargs},
	{key: "use_weighting", fate: translated, text: "`wpo`; weights are at most 1, as in the paper's code", read: readWeighting},
	{key: "lr_scheduler_kwargs", fate: translated, text: "`min_lr`, `min_lr_rate`, `timescale` are keys of their own; num_cycles: 0.5 says nothing; others are refused",
		read: readScheduleKwargs},
	{key: "sync_ref_model", fate: translated, text: "`reference_update_steps` and `reference_mixup`; what is evaluated after the last step before a renewal is measured against the reference before it, in TRL against the new one", read: readSync},
	{key: "ref_model_sync_steps", fate: translated, text: "`reference_update_steps`, with sync_ref_model", read: readSync},
	{key: "ref_model_mixup_alpha", fate: translated, text: "`reference_mixup`, with sync_ref_model", read: readSync},
	{key: "data_seed", fate: translated, text: "`seed`", read: readDataSeed},
	{key: "train_sampling_strategy", fate: translated, text: "sequential is `shuffle: false`; by length is random here", read: readSampling},
	{key: "group_by_length", fate: translated, from: fromTransformers5, text: "random order, with a warning", read: readSampling},
	{key: "evaluation_strategy", fate: translated, from: fromTransformers4, text: "`eval_strategy`", read: readStrategy},
	{key: "num_processes", fate: translated, from: fromAccelerate, text: "`gradient_accumulation_steps` times as many, so that a step has as many pairs", read: readProcesses},

	// Without effect: the data.
	{key: "dataset_config", fate: unused, text: "goes into the lines of Python that export `dataset_name`", read: readDatasetDetail},
	{key: "dataset_train_split", fate: unused, text: "goes into the lines of Python that export `dataset_name`", read: readDatasetDetail},
	{key: "dataset_test_split", fate: unused, text: "goes into the lines of Python that export `dataset_name`", read: readDatasetDetail},
	{key: "dataset_streaming", fate: unused, text: "rows are read from a file"},
	{key: "streaming", fate: unused, text: "rows are read from a file"},
	{key: "test_split_size", fate: unused, text: "`eval_fraction` holds rows out, by their prompts"},
	{key: "dataset_num_proc", fate: unused, text: "tokenising needs no setting"},
	{key: "padding_free", fate: unused, text: "there is no padding"},
	{key: "pad_to_multiple_of", fate: unused, text: "there is no padding"},
	{key: "pad_token", fate: unused, text: "there is no padding"},
	{key: "remove_unused_columns", fate: unused, text: "other columns are not read"},
	{key: "label_names", fate: unused, text: "the columns have fixed names"},
	{key: "length_column_name", fate: unused, text: "lengths are counted"},
	{key: "dataloader_drop_last", fate: unused, text: "the last, shorter step of an epoch is taken; a warning says so", read: readDropLast},
	{key: "dataloader_num_workers", fate: unused, text: "rows are ready as token ids"},
	{key: "dataloader_pin_memory", fate: unused, text: "rows are ready as token ids"},
	{key: "dataloader_persistent_workers", fate: unused, text: "rows are ready as token ids"},
	{key: "dataloader_prefetch_factor", fate: unused, text: "rows are ready as token ids"},
	{key: "dataloader_multiprocessing_context", fate: unused, text: "rows are ready as token ids"},
	{key: "dataloader_in_order", fate: unused, text: "rows are ready as token ids"},

	// The reference.
	{key: "precompute_ref_log_probs", fate: unused, text: "always, and kept on disk (`ref_cache_dir`)"},
	{key: "precompute_ref_batch_size", fate: unused, text: "`memory_limit` bounds memory"},

	// Losses that are not here.
	{key: "f_alpha_divergence_coef", fate: unused, text: "of f_divergence_type: alpha_divergence, which is refused; fdpo_alpha is 1 minus it"},
	{key: "label_smoothing_factor", fate: unused, text: "TRL's DPO does not use it either; for smoothed preferences there is loss cdpo"},

	// Memory and speed.
	{key: "gradient_checkpointing_kwargs", fate: unused, text: "a block is computed again as a whole, there is nothing to choose"},
	{key: "activation_checkpointing", fate: unused, text: "`gradient_checkpointing` does the same; results are the same bits either way"},
	{key: "activation_checkpointing_kwargs", fate: unused, text: "a block is computed again as a whole, there is nothing to choose"},
	{key: "activation_offloading", fate: unused, text: "`micro_batch_tokens` bounds memory; results are the same either way"},
	{key: "auto_find_batch_size", fate: unused, text: "`memory_limit` bounds memory; the pairs of a step stay as many as given"},
	{key: "per_device_eval_batch_size", fate: unused, text: "`memory_limit` bounds memory; results do not depend on the cut"},
	{key: "torch_empty_cache_steps", fate: unused, text: "no torch"},
	{key: "torch_compile", fate: unused, text: "no torch"},
	{key: "torch_compile_backend", fate: unused, text: "no torch"},
	{key: "torch_compile_mode", fate: unused, text: "no torch"},
	{key: "use_liger_kernel", fate: unused, text: "kernels are the program's own, fused"},
	{key: "liger_kernel_config", fate: unused, text: "kernels are the program's own, fused"},
	{key: "attn_implementation", fate: unused, text: "kernels are the program's own, fused"},
	{key: "use_cache", fate: unused, text: "training needs no cache of keys and values"},
	{key: "tf32", fate: unused, text: "products are float32 in full"},
	{key: "use_cpu", fate: unused, text: "the start says on what it computes"},
	{key: "full_determinism", fate: unused, text: "always, for any number of threads"},

	// The model.
	{key: "trust_remote_code", fate: unused, text: "no code of a model is run"},
	{key: "model_revision", fate: unused, text: "`model` is a folder; put the revision there that you want"},

	// Metrics and messages.
	{key: "report_to", fate: unused, text: "metrics are in metrics.jsonl"},
	{key: "run_name", fate: unused, text: "a run is its output_dir"},
	{key: "project", fate: unused, text: "a run is its output_dir"},
	{key: "trackio_space_id", fate: unused, text: "metrics are in metrics.jsonl"},
	{key: "trackio_bucket_id", fate: unused, text: "metrics are in metrics.jsonl"},
	{key: "trackio_static_space_id", fate: unused, text: "metrics are in metrics.jsonl"},
	{key: "logging_strategy", fate: unused, text: "metrics.jsonl has every step; lines on the console come every logging_steps"},
	{key: "logging_first_step", fate: unused, text: "metrics.jsonl has every step"},
	{key: "logging_nan_inf_filter", fate: unused, text: "a loss or gradient that is not finite is never hidden"},
	{key: "log_on_each_node", fate: unused, text: "there is one process"},
	{key: "log_level", fate: unused, text: "messages are few"},
	{key: "log_level_replica", fate: unused, text: "there is one process"},
	{key: "disable_tqdm", fate: unused, text: "there is a bar on a terminal only"},
	{key: "include_num_input_tokens_seen", fate: unused, text: "num_tokens is in every line of metrics.jsonl"},
	{key: "skip_memory_metrics", fate: unused, text: "no memory metrics"},
	{key: "debug", fate: unused, text: "a value that is not finite is always found, with its pair"},

	// Evaluation and checkpoints.
	{key: "prediction_loss_only", fate: unused, text: "all metrics are computed"},
	{key: "eval_do_concat_batches", fate: unused, text: "nothing is gathered"},
	{key: "eval_use_gather_object", fate: unused, text: "nothing is gathered"},
	{key: "eval_accumulation_steps", fate: unused, text: "nothing is gathered"},
	{key: "include_for_metrics", fate: unused, text: "no functions of yours"},
	{key: "batch_eval_metrics", fate: unused, text: "no functions of yours"},
	{key: "save_only_model", fate: unused, text: "a checkpoint has what resuming needs"},
	{key: "save_on_each_node", fate: unused, text: "there is one process"},
	{key: "enable_jit_checkpoint", fate: unused, text: "SIGTERM always ends the step and saves"},
	{key: "restore_callback_states_from_checkpoint", fate: unused, text: "no callbacks; all else is restored"},
	{key: "do_train", fate: unused, text: "the command says what to do"},
	{key: "do_eval", fate: unused, text: "the command says what to do; `eval_strategy` says when"},
	{key: "do_predict", fate: unused, text: "the command says what to do"},

	// Several processes.
	{key: "average_tokens_across_devices", fate: unused, text: "there is one process"},
	{key: "accelerator_config", fate: unused, text: "there is one process"},
	{key: "ddp_find_unused_parameters", fate: unused, text: "there is one process"},
	{key: "ddp_bucket_cap_mb", fate: unused, text: "there is one process"},
	{key: "ddp_broadcast_buffers", fate: unused, text: "there is one process"},
	{key: "ddp_static_graph", fate: unused, text: "there is one process"},
	{key: "ddp_backend", fate: unused, text: "there is one process"},
	{key: "ddp_timeout", fate: unused, text: "there is one process"},
	{key: "ignore_bias_buffers", fate: unused, text: "there is one process"},
	{key: "local_rank", fate: unused, text: "there is one process"},
	{key: "fsdp_config", fate: unused, text: "of fsdp, which is refused"},
	{key: "main_process_port", fate: unused, from: fromAccelerate, text: "there is one process"},
	{key: "main_process_ip", fate: unused, from: fromAccelerate, text: "there is one process"},
	{key: "machine_rank", fate: unused, from: fromAccelerate, text: "there is one process"},
	{key: "gpu_ids", fate: unused, from: fromAccelerate, text: "there is one process"},
	{key: "multi_gpu", fate: unused, from: fromAccelerate, text: "there is one process"},
	{key: "env", fate: unused, from: fromCommand, text: "set variables where you start dpotrain"},

	// The Hub.
	{key: "hub_token", fate: unused, text: "nothing is uploaded"},
	{key: "hub_private_repo", fate: unused, text: "nothing is uploaded"},
	{key: "hub_model_id", fate: unused, text: "nothing is uploaded"},
	{key: "hub_strategy", fate: unused, text: "nothing is uploaded"},
	{key: "hub_always_push", fate: unused, text: "nothing is uploaded"},
	{key: "hub_revision", fate: unused, text: "nothing is uploaded"},

	// LoRA and quantization.
	{key: "lora_r", fate: unused, text: "of use_peft, which is refused"},
	{key: "lora_alpha", fate: unused, text: "of use_peft, which is refused"},
	{key: "lora_dropout", fate: unused, text: "of use_peft, which is refused"},
	{key: "lora_target_modules", fate: unused, text: "of use_peft, which is refused"},
	{key: "lora_target_parameters", fate: unused, text: "of use_peft, which is refused"},
	{key: "lora_modules_to_save", fate: unused, text: "of use_peft, which is refused"},
	{key: "lora_task_type", fate: unused, text: "of use_peft, which is refused"},
	{key: "use_rslora", fate: unused, text: "of use_peft, which is refused"},
	{key: "use_dora", fate: unused, text: "of use_peft, which is refused"},
	{key: "bnb_4bit_quant_type", fate: unused, text: "of load_in_4bit, which is refused"},
	{key: "use_bnb_nested_quant", fate: unused, text: "of load_in_4bit, which is refused"},
	{key: "bnb_4bit_quant_storage", fate: unused, text: "of load_in_4bit, which is refused"},

	// Of older versions.
	{key: "per_gpu_eval_batch_size", fate: unused, from: fromTransformers4, text: "as per_device_eval_batch_size"},
	{key: "logging_dir", fate: unused, from: fromTransformers5, text: "metrics are in metrics.jsonl"},
	{key: "save_safetensors", fate: unused, from: fromTransformers4, text: "always"},
	{key: "no_cuda", fate: unused, from: fromTransformers4, text: "the start says on what it computes"},
	{key: "use_mps_device", fate: unused, from: fromTransformers4, text: "the start says on what it computes"},
	{key: "use_ipex", fate: unused, from: fromTransformers4, text: "no torch"},
	{key: "jit_mode_eval", fate: unused, from: fromTransformers4, text: "no torch"},
	{key: "torchdynamo", fate: unused, from: fromTransformers4, text: "no torch"},
	{key: "fp16_opt_level", fate: unused, from: fromTransformers4, text: "of fp16"},
	{key: "fp16_backend", fate: unused, from: fromTransformers4, text: "of fp16"},
	{key: "half_precision_backend", fate: unused, from: fromTransformers4, text: "of fp16"},
	{key: "tpu_num_cores", fate: unused, from: fromTransformers4, text: "no TPU"},
	{key: "tpu_metrics_debug", fate: unused, from: fromTransformers4, text: "no TPU"},
	{key: "past_index", fate: unused, from: fromTransformers4, text: "not for these models"},
	{key: "fsdp_min_num_params", fate: unused, from: fromTransformers4, text: "of fsdp, which is refused"},
	{key: "fsdp_transformer_layer_cls_to_wrap", fate: unused, from: fromTransformers4, text: "of fsdp, which is refused"},
	{key: "use_legacy_prediction_loop", fate: unused, from: fromTransformers4, text: "nothing is gathered"},
	{key: "include_inputs_for_metrics", fate: unused, from: fromTransformers4, text: "no functions of yours"},
	{key: "include_tokens_per_second", fate: unused, from: fromTransformers4, text: "lines on the console have it"},
	{key: "push_to_hub_model_id", fate: unused, from: fromTransformers4, text: "nothing is uploaded"},
	{key: "push_to_hub_organization", fate: unused, from: fromTransformers4, text: "nothing is uploaded"},
	{key: "push_to_hub_token", fate: unused, from: fromTransformers4, text: "nothing is uploaded"},
	{key: "mp_parameters", fate: unused, from: fromTransformers4, text: "there is one process"},
	{key: "ray_scope", fate: unused, from: fromTransformers4, text: "no search of settings"},
	{key: "_n_gpu", fate: unused, from: fromTransformers4, text: "there is one process"},
	{key: "label_pad_token_id", fate: unused, from: fromTRL0, text: "there is no padding"},
	{key: "padding_value", fate: unused, from: fromTRL0, text: "there is no padding"},
	{key: "gradient_checkpointing_use_reentrant", fate: unused, from: fromTRL0, text: "as gradient_checkpointing"},
	{key: "use_logits_to_keep", fate: unused, from: fromTRL0, text: "always: the head runs on scored tokens only"},
	{key: "use_num_logits_to_keep", fate: unused, from: fromTRL0, text: "always: the head runs on scored tokens only"},
	{key: "use_liger_loss", fate: unused, from: fromTRL0, text: "as use_liger_kernel"},
	{key: "base_model_attribute_name", fate: unused, from: fromTRL0, text: "as use_liger_kernel"},
	{key: "force_use_ref_model", fate: unused, from: fromTRL0, text: "there is always a reference where the loss needs one"},
	{key: "sanity_check", fate: unused, from: fromTRL0, text: "the whole file is read"},
	{key: "preprocessing_num_workers", fate: unused, from: fromHandbook, text: "as dataset_num_proc"},
	{key: "dataset_splits", fate: unused, from: fromHandbook, text: "as dataset_train_split"},

	// Refused, unless the value asks for nothing. Of the data a test of its own speaks, for they are refused only without data.
	{key: "dataset_name", fate: translated, text: "`data` and `eval_data`, files: an error gives two lines of Python that write them; without effect where `data` or `datasets` is given, in the file or by flag", read: readDataset},
	{key: "dataset_mixture", fate: translated, from: fromHandbook, text: "as dataset_name", read: readDataset},
	{key: "dataset_mixer", fate: translated, from: fromHandbook, text: "as dataset_name", read: readDataset},
	{key: "f_divergence_type", fate: refused, idle: []string{"reverse_kl", "null"}, text: "the divergence is reverse_kl; for another one give loss: fdpo and fdpo_divergence, and drop the line"},
	{key: "reference_free", fate: refused, from: fromTRL0, idle: []string{"false", "null"}, text: "a loss that needs a reference gets it; drop the line"},
	{key: "simpo_gamma", fate: refused, from: fromCPO, idle: []string{"null"}, text: "here it is a ratio to beta: give simpo_gamma_beta_ratio with loss simpo, or that of cpo_simpo or alphapo, and simpo_gamma/beta as its value; or drop the line"},
	{key: "alpha", fate: refused, from: fromCPO, idle: []string{"null", "0"}, text: "in TRL it shapes the reward of every loss, here that of loss alphapo alone: give alphapo_alpha with that, or drop the line"},
	{key: "desirable_weight", fate: refused, from: fromKTO, idle: []string{"null", "1", "1.0"}, text: "here it is a key of the loss: give kto_desirable_weight with loss kto, or apo_zero_unpaired_desirable_weight with loss apo_zero_unpaired, and drop the line"},
	{key: "undesirable_weight", fate: refused, from: fromKTO, idle: []string{"null", "1", "1.0"}, text: "as desirable_weight: give kto_undesirable_weight or apo_zero_unpaired_undesirable_weight, and drop the line"},
	{key: "disable_dropout", fate: refused, idle: []string{"true", "null"}, text: "dropout is off here, in training too, as TRL's default is; drop the line"},
	{key: "router_aux_loss_coef", fate: refused, idle: []string{"null", "0"}, text: "models with experts are not supported; drop the line"},
	{key: "neftune_noise_alpha", fate: refused, idle: []string{"null", "0"}, text: "no noise is added to embeddings here; drop the line"},
	{key: "optim_args", fate: refused, idle: []string{"null", ""}, text: "AdamW has adam_beta1, adam_beta2, adam_epsilon and weight_decay; give those, and drop the line"},
	{key: "optim_target_modules", fate: refused, idle: []string{"null", "[]"}, text: "all weights are trained, by AdamW; drop the line"},
	{key: "adafactor", fate: refused, from: fromTransformers4, idle: []string{"false", "null"}, text: "there is AdamW only; drop the line, and choose learning_rate for AdamW"},
	{key: "eval_delay", fate: refused, idle: []string{"0", "null"}, text: "every evaluation is made; drop the line, and choose eval_steps so that the first comes late enough"},
	{key: "ignore_data_skip", fate: refused, idle: []string{"false", "null"}, text: "a resumed run goes on in the data where it was; drop the line"},
	{key: "push_to_hub", fate: refused, idle: []string{"false", "null"}, text: "nothing is uploaded; drop the line, and when the run is done: hf upload NAME OUTPUT_DIR"},
	{key: "use_peft", fate: refused, idle: []string{"false", "null"}, text: "LoRA is not here yet; drop the line to train all weights, and lower learning_rate, about tenfold"},
	{key: "load_in_8bit", fate: refused, idle: []string{"false", "null"}, text: "weights are trained in float32; drop the line"},
	{key: "load_in_4bit", fate: refused, idle: []string{"false", "null"}, text: "weights are trained in float32; drop the line"},
	{key: "deepspeed", fate: refused, idle: []string{"null", "", "false"}, text: "there is one process and nothing to divide; drop the line"},
	{key: "fsdp", fate: refused, idle: []string{"null", "", "false", "[]"}, text: "there is one process and nothing to divide; drop the line"},
	{key: "parallelism_config", fate: refused, idle: []string{"null", "{}"}, text: "there is one process and nothing to divide; drop the line"},
	{key: "accelerate_config", fate: refused, from: fromAccelerate, idle: []string{"single_gpu", "null"}, text: "there is one process; drop the line, and put num_processes: N in its place, with the number in that profile, so that a step has as many pairs"},
	{key: "config_file", fate: refused, from: fromAccelerate, idle: []string{"null"}, text: "there is one process; drop the line, and put num_processes: N in its place, with the number in that file, so that a step has as many pairs"},
	{key: "num_machines", fate: refused, from: fromAccelerate, idle: []string{"1", "null"}, text: "there is one process; drop the line"},
	{key: "use_deepspeed", fate: refused, from: fromAccelerate, idle: []string{"false", "null"}, text: "there is one process and nothing to divide; drop the line"},
	{key: "use_fsdp", fate: refused, from: fromAccelerate, idle: []string{"false", "null"}, text: "there is one process and nothing to divide; drop the line"},
	{key: "per_gpu_train_batch_size", fate: refused, from: fromTransformers4, idle: []string{"null"}, text: "give per_device_train_batch_size instead"},
	{key: "max_prompt_length", fate: refused, from: fromTRL0, idle: []string{"null"}, text: "TRL 1 has dropped it too; max_length bounds prompt and completion together; drop the line"},
	{key: "max_completion_length", fate: refused, from: fromTRL0, idle: []string{"null"}, text: "TRL 1 has dropped it too; max_length bounds prompt and completion together; drop the line"},
	{key: "max_target_length", fate: refused, from: fromTRL0, idle: []string{"null"}, text: "TRL 1 has dropped it too; max_length bounds prompt and completion together; drop the line"},
	{key: "is_encoder_decoder", fate: refused, from: fromTRL0, idle: []string{"false", "null"}, text: "causal language models only; drop the line"},
	{key: "generate_during_eval", fate: refused, from: fromTRL0, idle: []string{"false", "null"}, text: "nothing is generated while training; drop the line"},
	{key: "ref_model_init_kwargs", fate: refused, from: fromTRL0, idle: []string{"null", "{}"}, text: "the reference is a folder, ref_model; drop the line"},
	{key: "model_adapter_name", fate: refused, from: fromTRL0, idle: []string{"null"}, text: "LoRA is not here yet; drop the line"},
	{key: "ref_adapter_name", fate: refused, from: fromTRL0, idle: []string{"null"}, text: "LoRA is not here yet; drop the line"},
	{key: "tools", fate: refused, from: fromTRL0, idle: []string{"null", "[]"}, text: "tools are read from the column tools of each row, or for all rows from chat_template_kwargs; drop the line"},
}

// optims are transformers' names of AdamW.
var optims = map[string]string{"adamw_torch": "adamw", "adamw_torch_fused": "adamw", "adamw_torch_xla": "adamw", "adamw_torch_npu_fused": "adamw", "adamw_apex_fused": "adamw",
	"adamw_anyprecision": "adamw", "adamw_hf": "adamw", "paged_adamw": "adamw", "paged_adamw_32bit": "adamw",
	"adamw_8bit": "adamw_bf16", "adamw_bnb_8bit": "adamw_bf16", "adamw_torch_8bit": "adamw_bf16", "adamw_torch_4bit": "adamw_bf16", "paged_adamw_8bit": "adamw_bf16"}

// trlDiffer is something in which a run here is not TRL's though its config says the same.
type trlDiffer struct {
	what, ours, theirs string
	why                string
	bites              func(l *loader, o *train.Options) bool // for these settings; nil: it is not said at the start
}

// trlDiffers are the defaults of ours that are not TRL's, and what else differs.
var trlDiffers = []trlDiffer{
	{"precision", "fp32", "bf16 unless fp16 is given", "results that do not depend on the machine; a TRL user who gives neither gets bf16 or an error",
		func(l *loader, o *train.Options) bool {
			return o.Compute.Precision == "fp32" && !l.given("precision", "bf16", "fp16")
		}},
	{"eval_strategy", "steps, with one evaluation at the end", "no", "who gives eval_data wants to know",
		func(l *loader, o *train.Options) bool { return o.EvalData != "" && !l.given("eval_strategy") }},
	{"gradient_checkpointing", "false", "true", "a run that fits without is faster; results are the same bits", nil},
	{"beta", "the loss's own by default", "0.1 for every loss", "a beta that is good for one loss is a bad one for another",
		func(l *loader, o *train.Options) bool {
			return slices.ContainsFunc(partsOf(o), func(p loss.Part) bool {
				beta, used := p.Hyperparameter("beta")
				return used && beta.Default != 0.1 && !l.givenTo(p, "beta")
			})
		}},
	{"label_smoothing of loss robust", "0.1", "0.0, which is sigmoid", "the paper's; who asks for robust wants it",
		func(l *loader, o *train.Options) bool { return hasPart(l, o, "robust", "label_smoothing") }},
	{"loss simpo", "without supervised fine-tuning", "with cpo_alpha of it, 1 by default, as loss cpo_simpo", "SimPO as its authors have it",
		func(l *loader, o *train.Options) bool { return hasPart(l, o, "simpo", "cpo_alpha") }},
	{"loss sft", "the mean over completions", "the mean over the tokens of a batch", "a result that does not depend on what shares a batch",
		func(l *loader, o *train.Options) bool { return hasPart(l, o, "sft", "") }},
	{"wpo", "with weights of at most 1", "use_weighting, with any weight", "the authors' code; a pair of very likely tokens would count many times",
		func(l *loader, o *train.Options) bool { return o.LossSettings["wpo"] == true }},
	{"loss kto", "the divergence is that of a whole step, on partners that the file fixes", "that of a micro-batch, on partners in it", "a result that does not depend on what shares a micro-batch, and the reference computed before training",
		func(l *loader, o *train.Options) bool { return hasPart(l, o, "kto", "") }},
}

// partsOf are the losses of a run: one, or those of a sum.
func partsOf(o *train.Options) []loss.Part {
	info, _ := loss.Of(o.Loss)
	return info.Parts()
}

// givenTo says that a hyperparameter is given to a loss, for all losses or for that one.
func (l *loader) givenTo(p loss.Part, key string) bool {
	_, own := l.own()[loss.OwnKey(p.Name, key)]
	return own || l.given(key)
}

// hasPart says that a loss is among those of the run and is not given a hyperparameter.
func hasPart(l *loader, o *train.Options, name, without string) bool {
	return slices.ContainsFunc(partsOf(o), func(p loss.Part) bool { return p.Name == name && !l.givenTo(p, without) })
}
