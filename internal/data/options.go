package data

import (
	"errors"
	"fmt"

	"dpotrain/internal/chat"
)

// Options say how rows are read, cut and ordered. The field tags are the keys users write (see package config).
type Options struct {
	ChatTemplate       string `mapstructure:"chat_template" alias:"chat_template_path" help:"what writes messages as text, in place of the model folder's template: a built-in format (alpaca, chatml, gemma, llama-3, phi-3, plain, zephyr), the path of a Jinja file, or the name of one of the folder's templates"`
	ChatTemplateKwargs string `mapstructure:"chat_template_kwargs" map:"json" help:"variables for the chat template, such as {enable_thinking: false}; those of a row's own column chat_template_kwargs go above them"`

	MaxLength      int    `mapstructure:"max_length" default:"1024" validate:"gte=0" help:"longest sequence in tokens, prompt and completion together; longer ones are cut; 0 = no limit"`
	TruncationMode string `mapstructure:"truncation_mode" default:"keep_start" validate:"oneof=keep_start keep_end" help:"which end of a sequence longer than max_length stays: keep_start or keep_end"`
	OnBadRow       string `mapstructure:"on_bad_row" default:"error" validate:"oneof=error skip" help:"what an unreadable or wrongly typed row does: error (stop) or skip (count it)"`
	RankedPairs    string `mapstructure:"ranked_pairs" default:"best_worst" validate:"oneof=best_worst best_random all adjacent" help:"pairs that a loss on pairs makes of a ranked row: best_worst, best_random (the best with any that is worse, a function of seed and line), all, or adjacent (each with the next)"`
	Shuffle        bool   `mapstructure:"shuffle" default:"true" help:"new order of the training pairs in every epoch, a function of seed and epoch"`
	Seed           int64  `mapstructure:"seed" default:"42" help:"seed of everything random"`
}

// vars are the variables of ChatTemplateKwargs, a JSON object.
func (o Options) vars() (chat.Vars, error) {
	if o.ChatTemplateKwargs == "" {
		return chat.Vars{}, nil
	}
	v, err := chat.ParseVars(o.ChatTemplateKwargs)
	if err != nil {
		return v, fmt.Errorf("chat_template_kwargs: %w", err)
	}
	return v, nil
}

// CheckKwargs says what is wrong with ChatTemplateKwargs.
func (o Options) CheckKwargs() error {
	_, err := o.vars()
	return errors.Unwrap(err)
}
