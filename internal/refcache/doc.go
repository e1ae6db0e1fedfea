// Package refcache keeps the reference model's per-token log-probabilities on disk, so that a preference pair is scored by the
// reference once, whatever loss, order, split or number of epochs follows.
//
// It is given the fingerprint of a reference model (everything that decides the bits of its log-probs) and the keys of the
// sequences a run needs, and gives back one float32 a scored token, in nats, or says which sequences are missing; and likewise further
// numbers that a run asks for, as the entropy of the distribution that the token was scored by. Sums are taken by
// the reader and never stored. Tokenizer, chat template and max_length act through the token ids and so need no place in the key.
//
// Readers take no lock. A Writer holds the lock file beside the cache file while it appends; a second one waits, reads what the
// first has written and goes on from there. What Sync has returned for survives a power cut; what was appended after the last Sync
// may be lost from the end.
//
// # The file, version 1
//
// One append-only file a fingerprint: DIR/F.refs with F the first 16 hexadecimal digits of the fingerprint; F.lock is the lock file,
// always empty. Integers are little-endian. CRC32C is the Castagnoli polynomial. A header:
//
//	offset  size  content
//	0       8     "DPOTREFS"
//	8       4     format version, uint32: 1
//	12      32    fingerprint
//	44      4     n, length of the facts, uint32, at most 65536
//	48      4     CRC32C of bytes 0 to 47
//	52      n     facts: a JSON object for people to read (type Facts)
//	52+n    4     CRC32C of bytes 0 to 52+n-1
//
// then records, one after the other without gaps, each one sequence:
//
//	offset  size  content
//	0       4     n, length of the whole record, uint32, 28 to 67108864
//	4       16    key (see KeyOf)
//	20      4     CRC32C of bytes 0 to 19
//	24      n-28  fields: tag uint16, length m uint32, m bytes; again and again
//	n-4     4     CRC32C of bytes 0 to n-5
//
// The first checksum of header and record makes their length trustworthy, so that a damaged length cannot pass for a file that ends
// too early.
//
//	tag  content
//	1    log-probs of the scored tokens in order, float32 each; at least one
//	2    entropies in nats of the distributions that they were scored by, likewise
//
// A reader passes over tags it does not know; a record that lacks one of the fields that are asked for counts as missing. If several
// records have one key, the last that holds all of them counts. What is missing is appended with all that is asked for, log-probs included.
//
// # Damage
//
// A record or header that the end of the file cuts short is a torn tail: readers leave it out, the next writer cuts it off. So is a
// last record with a wrong checksum, and one that is followed by nothing but zero bytes, because some file systems lengthen a file
// before its data arrives. Anything else that does not check is an error which names the file and the offset. A newer version is refused.
// Verify finds all damaged records, not the first alone.
//
// To add a field: a tag in the table above, in docs/formats.md and in format.go, a row in the tests. The version is raised only when an
// older reader would misread the file.
package refcache
