package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"dpotrain/internal/config"
	"dpotrain/internal/loss"
	"dpotrain/internal/report"
)

func newLossesCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "losses [NAME]",
		Short: "List the losses, or describe one: what it needs, its hyperparameters and its paper",
		Long: `List the losses with what each needs, whether it takes log-probs as sums over a completion or means over its tokens,
whether it remembers something from step to step, its hyperparameters with their defaults, and the modifiers. With a
name, or another trainer's name for the same loss, describe that one in full. docs/losses.md says when to take which,
and what to watch.`,
		Example: `  dpotrain losses
  dpotrain losses ipo
  dpotrain losses --json`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return fmt.Errorf("losses: want one name at most")
			}
			for _, name := range args {
				if why := loss.Refused(name); why != "" {
					return fmt.Errorf("%q: %s", name, why)
				}
				if strings.ContainsAny(name, "=,") {
					return fmt.Errorf("%q: losses describes one loss at a time", name)
				}
				if _, ok := loss.Describe(name); !ok {
					return fmt.Errorf("%q: no such loss; \"dpotrain losses\" lists them%s", name, config.DidYouMean(name, loss.Names()))
				}
			}
			return nil
		},
		ValidArgsFunction: completeLosses,
		RunE: func(cmd *cobra.Command, args []string) error {
			list := loss.Catalogue()
			if len(args) == 1 {
				info, _ := loss.Describe(args[0])
				list = []loss.Info{info}
			}
			out := cmd.OutOrStdout()
			switch {
			case asJSON:
				return lossesJSON(out, list)
			case len(args) == 1:
				return describeLoss(out, list[0])
			}
			var rows [][]string
			for _, l := range list {
				var settings []string
				for _, h := range l.Hyperparameters {
					settings = append(settings, fmt.Sprintf("%s %v", h.Key, h.Default))
				}
				state := ""
				if len(l.Remembers()) > 0 {
					state = "yes"
				}
				rows = append(rows, []string{l.Name, needs(l), l.Needs.Logps(), state, strings.Join(settings, ", "), l.Summary})
			}
			report.Table(out, []string{"loss", "needs", "logps", "state", "hyperparameters", "what it is"}, rows)
			fmt.Fprint(out, "\nModifiers, which many losses can have:\n\n")
			modifiersTable(out)
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array instead of text")
	return cmd
}

func modifiersTable(w io.Writer) {
	var rows [][]string
	for _, m := range loss.Modifiers() {
		rows = append(rows, []string{m.Key, fmt.Sprint(m.Default), m.Values(), m.Goes, m.Summary})
	}
	report.Table(w, []string{"modifier", "default", "values", "goes with", "what it does"}, rows)
}

func completeLosses(_ *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var names []cobra.Completion
	for _, l := range loss.Catalogue() {
		if len(args) == 0 && strings.HasPrefix(l.Name, begun) {
			names = append(names, cobra.CompletionWithDesc(l.Name, l.Summary))
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
}

// needs is what a user has to have; pairs do for losses on labels too, being taken apart.
func needs(l loss.Info) string {
	text := l.Needs.String()
	if slices.Contains(loss.Unpaired(), l.Name) {
		_, rest, _ := strings.Cut(text, ",")
		text = "pairs or labels," + rest
	}
	return text
}

// describeLoss writes all that the catalogue says of a loss.
func describeLoss(w io.Writer, l loss.Info) error {
	name := l.Name
	if len(l.Aliases) > 0 {
		name += " (also " + strings.Join(l.Aliases, ", ") + ")"
	}
	rows := [][]string{{"loss", name}, {"what it is", l.Summary}, {"paper", l.Paper}, {"needs", needs(l)}, {"logps", l.Needs.Logps()}}
	if state := l.Remembers(); len(state) > 0 {
		rows = append(rows, []string{"state", strings.Join(state, ", ") + ", from step to step; a checkpoint has them"})
	}
	made, err := loss.New(l.Name, nil)
	if err != nil {
		return err
	}
	if v, ok := made.StepZero(); ok {
		rows = append(rows, []string{"loss at the start", fmt.Sprintf("%.6g, with the defaults, where the policy begins as the reference", v)})
	}
	for _, r := range rows {
		fmt.Fprintf(w, "%-18s %s\n", r[0], r[1])
	}
	fmt.Fprintf(w, "%-18s docs/losses.md, configs/losses/%s.yaml\n", "more", l.Name)
	if len(l.Hyperparameters) == 0 {
		fmt.Fprintln(w, "\nIt has no hyperparameters.")
	} else {
		fmt.Fprintln(w)
		hyperparameters(w, "hyperparameter", l.Hyperparameters)
	}
	if list := modifiersOf(l); len(list) > 0 {
		fmt.Fprintln(w)
		hyperparameters(w, "modifier", list)
	}
	return nil
}

// modifiersOf are those that the loss can have.
func modifiersOf(l loss.Info) (list []loss.Hyperparameter) {
	for _, m := range l.Modifiers() {
		list = append(list, m.Hyperparameter)
	}
	return list
}

func hyperparameters(w io.Writer, kind string, list []loss.Hyperparameter) {
	var table [][]string
	for _, h := range list {
		table = append(table, []string{h.Key, fmt.Sprint(h.Default), h.Values(), h.Meaning})
	}
	report.Table(w, []string{kind, "default", "values", "meaning"}, table)
}

// lossesJSON writes an array of objects with the fields of the tables.
func lossesJSON(w io.Writer, list []loss.Info) error {
	type hyperparameter struct {
		Key     string `json:"key"`
		Default any    `json:"default"`
		Values  string `json:"values"`
		Meaning string `json:"meaning"`
	}
	type object struct {
		Name            string           `json:"name"`
		Aliases         []string         `json:"aliases"`
		Summary         string           `json:"summary"`
		Paper           string           `json:"paper"`
		Needs           string           `json:"needs"`
		Logps           string           `json:"logps"`
		State           []string         `json:"state"`
		Hyperparameters []hyperparameter `json:"hyperparameters"`
		Modifiers       []string         `json:"modifiers"`
	}
	objects := []object{}
	for _, l := range list {
		o := object{Name: l.Name, Aliases: append([]string{}, l.Aliases...), Summary: l.Summary, Paper: l.Paper, Needs: needs(l), Logps: l.Needs.Logps(), State: append([]string{}, l.Remembers()...), Hyperparameters: []hyperparameter{}, Modifiers: []string{}}
		for _, h := range l.Hyperparameters {
			o.Hyperparameters = append(o.Hyperparameters, hyperparameter{h.Key, h.Default, h.Values(), h.Meaning})
		}
		for _, m := range l.Modifiers() {
			o.Modifiers = append(o.Modifiers, m.Key)
		}
		objects = append(objects, o)
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(objects)
}
