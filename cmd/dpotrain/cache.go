package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"dpotrain/internal/refcache"
	"dpotrain/internal/report"
)

func newCacheCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "cache", Short: "Look at the reference cache"}
	holdsCommands(cmd)
	cmd.AddCommand(newCacheInspectCommand(), newCacheVerifyCommand())
	return cmd
}

// cacheDir is the flag of commands that read the cache.
func cacheDir(cmd *cobra.Command, dir *string) {
	cmd.Flags().StringVar(dir, "ref-cache-dir", "ref_cache", "folder of the reference log-probs")
	completeWith(cmd, "ref-cache-dir", cobra.ShellCompDirectiveFilterDirs)
}

// noCache says that there is nothing in a cache folder.
func noCache(cmd *cobra.Command, dir string) error {
	fmt.Fprintf(cmd.OutOrStdout(), "%s: no reference log-probs\n", dir)
	return nil
}

func newCacheInspectCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:     "inspect",
		Short:   "List the cached reference models: fingerprint, records, model, precision, size",
		Example: `  dpotrain cache inspect --ref-cache-dir ref_cache`,
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			infos, err := refcache.Inspect(dir)
			if err != nil {
				return err
			}
			if len(infos) == 0 {
				return noCache(cmd, dir)
			}
			var rows [][]string
			bad := 0
			for _, f := range infos {
				state := "sound"
				switch {
				case f.Err != nil:
					state, bad = strings.TrimPrefix(message(f.Err), f.Path+": "), bad+1
				case f.TornBytes > 0:
					state = fmt.Sprintf("torn tail of %s", report.Bytes(f.TornBytes))
				}
				name := strings.TrimSuffix(filepath.Base(f.Path), filepath.Ext(f.Path)) // where the header says nothing
				if f.Fingerprint != (refcache.Fingerprint{}) {
					name = f.Fingerprint.String()[:16]
				}
				rows = append(rows, []string{name, report.Count(int64(f.Records)), report.Count(f.Tokens), report.Count(f.Entropies), f.Facts.Model,
					f.Facts.Precision, f.Facts.Kernels, report.Bytes(f.Bytes), state})
			}
			report.Table(cmd.OutOrStdout(), []string{"fingerprint", "records", "log-probs", "entropies", "model", "precision", "kernels", "size", "state"}, rows)
			if bad > 0 {
				return fmt.Errorf("%d of %d cache files in %s cannot be used; see their state in the table", bad, len(infos), dir)
			}
			return nil
		},
	}
	cacheDir(cmd, &dir)
	return cmd
}

func newCacheVerifyCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Check every record of the reference cache",
		Long: `Read every record of every cache file and check it: its checksums, and that what it holds are numbers. A record that is
not sound is named with its place in the file, and the exit code is 1. A torn tail, which a run leaves that was killed
while it wrote, is harmless: it was not in use yet, and the next run that writes cuts it off.`,
		Example: `  dpotrain cache verify
  dpotrain cache verify --ref-cache-dir ref_cache`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			progress, end := report.Reading(cmd.ErrOrStderr(), "verifying")
			files, err := refcache.Verify(cmd.Context(), dir, progress)
			end()
			if err != nil {
				return err
			}
			if len(files) == 0 {
				return noCache(cmd, dir)
			}
			out, damaged, newer := cmd.OutOrStdout(), 0, 0
			for _, f := range files {
				fmt.Fprintf(out, "%s: %s records are sound, %s\n", f.Path, report.Count(int64(f.Records)), report.Bytes(f.Bytes))
				for _, at := range f.Damaged {
					fmt.Fprintf(out, "%s: the record at byte %d is damaged\n", f.Path, at)
				}
				if f.Unchecked > 0 {
					fmt.Fprintf(out, "%s: its length is damaged too, so that the %s from there on could not be checked\n", f.Path, report.Bytes(f.Unchecked))
				}
				if f.Err != nil && len(f.Damaged) == 0 {
					fmt.Fprintln(out, message(f.Err))
				}
				if f.TornBytes > 0 {
					fmt.Fprintf(out, "%s: torn tail of %s, left by a run that was killed: harmless, the next run that writes cuts it off\n", f.Path, report.Bytes(f.TornBytes))
				}
				switch {
				case errors.Is(f.Err, refcache.ErrNewer):
					newer++
				case f.Err != nil:
					damaged++
				}
			}
			var problems []string
			if damaged > 0 {
				problems = append(problems, fmt.Sprintf("%d of %d cache files are damaged; move them away and run \"dpotrain precompute-ref\" again", damaged, len(files)))
			}
			if newer > 0 {
				problems = append(problems, fmt.Sprintf("a newer dpotrain wrote %d of %d cache files; use that one", newer, len(files)))
			}
			if problems != nil {
				return errors.New(strings.Join(problems, "; "))
			}
			return nil
		},
	}
	cacheDir(cmd, &dir)
	return cmd
}
