package data

// Options say how rows are read, cut and ordered. The field tags are the keys users write (see package config).
type Options struct {
	MaxLength      int    `mapstructure:"max_length" default:"1024" validate:"gte=0" help:"longest sequence in tokens, prompt and completion together; longer ones are cut; 0 = no limit"`
	TruncationMode string `mapstructure:"truncation_mode" default:"keep_start" validate:"oneof=keep_start keep_end" help:"which end of a sequence longer than max_length stays: keep_start or keep_end"`
	OnBadRow       string `mapstructure:"on_bad_row" default:"error" validate:"oneof=error skip" help:"what an unreadable or wrongly typed row does: error (stop) or skip (count it)"`
	Shuffle        bool   `mapstructure:"shuffle" default:"true" help:"new order of the training pairs in every epoch, a function of seed and epoch"`
	Seed           int64  `mapstructure:"seed" default:"42" help:"seed of everything random"`
}
