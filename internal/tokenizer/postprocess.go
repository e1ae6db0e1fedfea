package tokenizer

import "fmt"

// template is what stands before and behind a single sequence.
type template struct{ prefix, suffix []int32 }

// compileTemplate reads a post-processor. key says where c stands in the file.
func (b *builder) compileTemplate(c component, key string) (template, error) {
	if err := b.countStep(key); err != nil {
		return template{}, err
	}
	switch c.Type {
	case "ByteLevel": // only trims offsets
		return template{}, nil
	case "Sequence":
		var all template
		for i, sub := range c.Processors {
			t, err := b.compileTemplate(sub, fmt.Sprintf("%s.processors[%d]", key, i))
			if err != nil {
				return template{}, err
			}
			all.prefix = append(t.prefix, all.prefix...)
			all.suffix = append(all.suffix, t.suffix...)
		}
		return all, nil
	case "TemplateProcessing":
		return b.compileSingle(c, key)
	case "RobertaProcessing", "BertProcessing":
		prefix, err := b.single(c.CLS, key+".cls")
		if err != nil {
			return template{}, err
		}
		suffix, err := b.single(c.SEP, key+".sep")
		return template{prefix, suffix}, err
	}
	return template{}, unsupported(key, c.Type, "TemplateProcessing, ByteLevel, RobertaProcessing, BertProcessing, Sequence")
}

// compileSingle reads the form of a TemplateProcessing for one sequence.
func (b *builder) compileSingle(c component, key string) (template, error) {
	var t template
	side := &t.prefix
	for i, p := range c.Single {
		switch {
		case p.Sequence != nil && p.SpecialToken == nil:
			if p.Sequence.ID != "A" || side != &t.prefix {
				return t, fmt.Errorf("%s.single[%d]: sequence %.100q; want A, and once", key, i, p.Sequence.ID)
			}
			side = &t.suffix
		case p.SpecialToken != nil && p.Sequence == nil:
			token, ok := c.SpecialTokens[p.SpecialToken.ID]
			if !ok {
				return t, fmt.Errorf("%s.single[%d]: %.100q is not in special_tokens", key, i, p.SpecialToken.ID)
			}
			for _, id := range token.IDs {
				if err := b.checkID(id); err != nil {
					return t, fmt.Errorf("%s.special_tokens: %.100q: %w", key, p.SpecialToken.ID, err)
				}
				*side = append(*side, int32(id))
			}
		default:
			return t, fmt.Errorf("%s.single[%d]: want a Sequence or a SpecialToken", key, i)
		}
	}
	if side != &t.suffix {
		return t, fmt.Errorf("%s.single: no sequence A in it", key)
	}
	return t, nil
}

// single reads the one token on a side of a sequence.
func (b *builder) single(t *tokenAndID, key string) ([]int32, error) {
	if t == nil {
		return nil, fmt.Errorf("%s: missing; it is a list of a text and its id", key)
	}
	if err := b.checkID(t.id); err != nil {
		return nil, fmt.Errorf("%s: %.100q: %w", key, t.text, err)
	}
	return []int32{int32(t.id)}, nil
}

func (b *builder) checkID(id int64) error {
	if id < 0 || id >= maxID || b.texts[int32(id)] == "" {
		return fmt.Errorf("id %d is not in the vocabulary", id)
	}
	return nil
}
