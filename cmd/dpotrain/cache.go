package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"dpotrain/internal/refcache"
	"dpotrain/internal/report"
)

func newCacheCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "cache", Short: "Look at the reference cache"}
	holdsCommands(cmd)
	var dir string
	inspect := &cobra.Command{
		Use:     "inspect",
		Short:   "List the cached reference models: fingerprint, sequences, model, precision, size",
		Example: `  dpotrain cache inspect --ref-cache-dir ref_cache`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			infos, err := refcache.Inspect(dir)
			if err != nil {
				return err
			}
			if len(infos) == 0 {
				fmt.Fprintf(cmd.OutOrStdout(), "%s: no reference log-probs\n", dir)
				return nil
			}
			var rows [][]string
			bad := 0
			for _, f := range infos {
				state := "sound"
				switch {
				case f.Err != nil:
					state, bad = f.Err.Error(), bad+1
				case f.TornBytes > 0:
					state = fmt.Sprintf("torn tail of %s", report.Bytes(f.TornBytes))
				}
				rows = append(rows, []string{f.Fingerprint.String()[:16], report.Count(int64(f.Records)), report.Count(f.Tokens), f.Facts.Model,
					f.Facts.Precision, f.Facts.Kernels, report.Bytes(f.Bytes), state})
			}
			report.Table(cmd.OutOrStdout(), []string{"fingerprint", "sequences", "tokens", "model", "precision", "kernels", "size", "state"}, rows)
			if bad > 0 {
				return fmt.Errorf("%d of %d cache files are damaged", bad, len(infos))
			}
			return nil
		},
	}
	inspect.Flags().StringVar(&dir, "ref-cache-dir", "ref_cache", "folder of the reference log-probs")
	cmd.AddCommand(inspect)
	return cmd
}
