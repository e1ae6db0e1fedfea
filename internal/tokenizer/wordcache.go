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
	}
}

const (
	maxCachedWord = 64   // bytes
	maxShardWords = 2048 // 131,072 words in all, at most some 100 MB
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
	shard.Lock()
	defer shard.Unlock()
	if shard.words == nil || len(shard.words) >= maxShardWords {
		shard.words = map[string][]part{}
	}
	shard.words[strings.Clone(word)] = parts
}
