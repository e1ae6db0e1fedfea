package tokenizer

import "fmt"

// model cuts the words of a text into pieces.
type model interface {
	// encode yields the pieces of a word, from left to right.
	encode(word string, yield func(part))
}

// part is an id and the bytes [start, end) of the word that it stands for.
type part struct{ id, start, end int32 }

const none = -1 // no id, no rune, no place

// byteIDs are the ids that stand for single bytes, none where there is no such id.
type byteIDs [256]int32

func noBytes() byteIDs {
	var ids byteIDs
	for b := range ids {
		ids[b] = none
	}
	return ids
}

// byteToken is the text of the piece that stands for a byte.
func byteToken(b byte) string { return fmt.Sprintf("<0x%02X>", b) }

// fallbackBytes are those of <0x00> to <0xFF>.
func fallbackBytes(piece func(string) (int32, bool)) byteIDs {
	ids := noBytes()
	for b := range ids {
		if id, ok := piece(byteToken(byte(b))); ok {
			ids[b] = id
		}
	}
	return ids
}

// spell says that every byte of s has an id.
func (ids *byteIDs) spell(s string) bool {
	for i := range len(s) {
		if ids[s[i]] == none {
			return false
		}
	}
	return true
}
