package compute

// Options choose the device and how it computes. The field tags are the keys users write (see package config).
type Options struct {
	Precision string `mapstructure:"precision" default:"fp32" validate:"oneof=fp32 bf16 auto" help:"number format of the operands of matrix products: fp32, bf16 (rounds to 8 bits; faster on most CPUs that have it; weights and sums stay float32) or auto (bf16 where that is faster than fp32 on this CPU)"`
	Threads   int    `mapstructure:"threads" default:"0" validate:"gte=0,lte=1024" help:"worker threads; 0 = as many as the machine and its limits allow; results do not depend on it"`
	CPU       string `mapstructure:"cpu" default:"auto" validate:"oneof=auto amx avx512 avx2 neon generic" help:"kernel level: auto (the best this CPU has for the precision), amx (bf16 alone), avx512, avx2, neon or generic"`
}
