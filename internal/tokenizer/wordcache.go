package tokenizer

import (
	"hash/maphash"
	"strings"
	"sync"
)

// wordCache remembers the pieces of short words: most words of a text have been seen before. It is split into shards
// so that goroutines seldom wait for each other; a full shard is emptied.
type wordCache struct {
	seed   maphash.Seed
	shards [64]struct {
		sync.RWMutex
		words map[string][]part
		size  int // bytes of memory that they take, about
	}
}

const (
	maxCachedWord = 64        // bytes
	maxShard      = 512 << 10 // bytes; 32 MiB in all, for some 250,000 words of a usual text
	bytesWord     = 72        // of a word besides its text and parts: the entry of the map, half of which may be empty
	bytesPart     = 12
)

// get returns the pieces of word, not to be changed.
func (c *wordCache) get(word string) ([]part, bool) {
	if len(word) > maxCachedWord {
		return nil, false
	}
	shard := &c.shards[maphash.String(c.seed, word)%uint64(len(c.shards))]
	shard.RLock()
	defer shard.RUnlock()
	parts, ok := shard.words[word]
	return parts, ok
}

// put remembers copies of word and parts.
func (c *wordCache) put(word string, parts []part) {
	if len(word) > maxCachedWord {
		return
	}
	parts = append([]part(nil), parts...)
	shard := &c.shards[maphash.String(c.seed, word)%uint64(len(c.shards))]
	size := bytesWord + len(word) + bytesPart*len(parts)
	shard.Lock()
	defer shard.Unlock()
	if shard.size += size; shard.words == nil || shard.size > maxShard {
		shard.words, shard.size = map[string][]part{}, size
	}
	shard.words[strings.Clone(word)] = parts
}
