// Package checkpoint keeps what a training run leaves on disk: its checkpoints, the final model, and the list of files that are ours.
//
// It is given tensors as they are to be saved, the small files of a Hugging Face folder and the run's State, and gives back a folder
// that is either whole or not there: whatever moment the process is killed at or the power fails, the newest checkpoint that Save
// has returned for can be opened. What is damaged later is noticed, because every file's SHA-256 is checked before use.
//
// # The folder, version 1
//
//	OUTPUT_DIR/
//	  checkpoint-N/                      N optimizer steps are in it
//	    model.safetensors                weights in save_dtype
//	    config.json, tokenizer.json ...  with the weights, a folder that any Hugging Face program loads
//	    dpotrain/
//	      state.json                     type State, with its version
//	      optimizer.safetensors          F32, or BF16 with optim: adamw_bf16: exp_avg.NAME and exp_avg_sq.NAME of each weight
//	      master.safetensors             F32: the weights in full, only if save_dtype is another
//	      manifest.json                  version, step, and name, size and SHA-256 of every file above, by name
//	  model.safetensors, config.json ... the final model (WriteModel)
//	  dpotrain-files.json                version, and the names of the final model's files
//	  dpotrain.yaml, metrics.jsonl       written by the run itself
//	  .dpotrain.lock                     held while a run writes here (LockRun); empty
//	  .checkpoint-N.tmp-P                a checkpoint being written or removed, by process P
//	  .checkpoint-N.old-P                the one that a checkpoint of the same step is about to replace
//	  .dpotrain-NAME.tmp-P               another file being written
//
// A checkpoint is written beside its place, each file synced, the manifest last, then the folders; then it is renamed and the parent
// synced. One that goes is renamed away first, so that a folder named checkpoint-N is never partly there. A manifest is exactly
// the JSON that this package writes: any other bytes are damage. A newer version is refused.
//
// To add a file to a checkpoint: write it in save, read it in a method of Checkpoint; the manifest covers it by itself. To add a field to
// State: give it a zero value that means "as before", or raise the version.
package checkpoint
