package chat

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dpotrain/internal/testfiles"
)

// benchmarkConversation has turns of about 300 bytes, as chat data has them.
func benchmarkConversation(b *testing.B) []Message {
	turn := strings.Repeat("The inn belongs to Hugo, and \"the mill\" to nobody. ", 6)
	var all []map[string]string
	for i, role := range []string{"system", "user", "assistant", "user", "assistant"} {
		all = append(all, map[string]string{"role": role, "content": fmt.Sprintf("%d. %s", i, turn)})
	}
	raw, err := json.Marshal(all)
	if err != nil {
		b.Fatal(err)
	}
	messages, err := ParseMessages(raw)
	if err != nil {
		b.Fatal(err)
	}
	return messages
}

// BenchmarkRender measures bytes of text that are written a second, of the built-in formats and, where the shared test data are, of models' own
// templates.
func BenchmarkRender(b *testing.B) {
	sources := map[string]string{}
	for _, name := range Formats() {
		text, err := formats.ReadFile("formats/" + name + extension)
		if err != nil {
			b.Fatal(err)
		}
		sources[name] = string(text)
	}
	if os.Getenv(testfiles.Variable) != "" {
		dir := testfiles.Shared(b, "chat_templates")
		for _, name := range []string{"SmolLM2-Instruct", "Qwen-Qwen2.5-7B-Instruct", "Qwen-Qwen3", "meta-llama-Llama-3.2-3B-Instruct"} {
			text, err := os.ReadFile(filepath.Join(dir, name+extension))
			if err != nil {
				b.Fatal(err)
			}
			sources[name] = string(text)
		}
	}
	messages := benchmarkConversation(b)
	for name, source := range sources {
		tpl, err := New(name, source, map[string]string{"bos_token": "<s>", "eos_token": "</s>"})
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				text, err := tpl.Render(messages, Vars{}, false)
				if err != nil {
					b.Fatal(err)
				}
				b.SetBytes(int64(len(text)))
			}
		})
	}
}
