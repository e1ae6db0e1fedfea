package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dpotrain/internal/testfiles"
)

// TestChatTemplateIsSaved: a model that was tuned with a built-in format has it in its folder and in that of its checkpoint; eval and resuming find the
// same tokens, whether the format is named again or not.
func TestChatTemplateIsSaved(t *testing.T) {
	ware := newKitchenware(t)
	format := read(t, testfiles.Path(t, "..", "internal", "chat", "formats", "zephyr.jinja"))
	k := newKitchen(t, ware)
	k.remove("model/chat_template.jinja")
	const settings = "--loss dpo --threads 1 --chat-template zephyr"
	train := strings.Fields("train --model model --data chat.jsonl --output-dir run --max-steps 2 --save-steps 1 " + settings)
	dpotrain(t, train...)
	for _, dir := range []string{"run", "run/checkpoint-1"} {
		if got := read(t, filepath.Join(dir, "chat_template.jinja")); got != format {
			t.Errorf("%s has another template: %s", dir, got)
		}
	}
	weights := read(t, "run/model.safetensors")
	dpotrain(t, append(train, "--resume=run/checkpoint-1")...)
	if read(t, "run/model.safetensors") != weights {
		t.Error("the resumed run has other weights")
	}
	want, _ := dpotrain(t, strings.Fields("eval --model run --data chat.jsonl --json")...)
	for _, args := range []string{"--chat-template zephyr", "--config run/dpotrain.yaml", "--chat-template run/chat_template.jinja", "--chat-template run"} {
		if got, _ := dpotrain(t, strings.Fields("eval --model run --data chat.jsonl --json --ref model "+args)...); got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", args, got, want)
		}
	}
	if got, _ := dpotrain(t, strings.Fields("eval --model run --data chat.jsonl --json --ref model --chat-template plain")...); got == want {
		t.Error("another format makes no difference")
	}
	if err := os.Remove("run/chat_template.jinja"); err != nil {
		t.Fatal(err)
	}
	if _, stderr := exits(t, exitFailed, strings.Fields("eval --model run --data chat.jsonl --ref model")...); !strings.Contains(stderr, "choose a format with chat_template") {
		t.Errorf("without the template: %s", stderr)
	}
}
