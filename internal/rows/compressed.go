package rows

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

const (
	// maxWindow bounds what zstd looks back to, and its memory; zstd takes at most 8 MiB unless it is called with --ultra or --long.
	maxWindow = 32 << 20
	// maxRatio bounds how many bytes come out of one; rows of text come to about ten, the same row over and over to a thousand. It is
	// looked at once bombSize bytes are out.
	maxRatio = 200
	bombSize = 64 << 20
)

// compressionOf is how a file is unpacked that begins so; nil if it is not compressed.
func compressionOf(in *bufio.Reader) func(io.Reader) (io.ReadCloser, error) {
	head, _ := in.Peek(4)
	switch {
	case bytes.HasPrefix(head, []byte("\x1f\x8b")):
		return func(in io.Reader) (io.ReadCloser, error) { return gzip.NewReader(in) }
	case bytes.HasPrefix(head, []byte("\x28\xb5\x2f\xfd")):
		return func(in io.Reader) (io.ReadCloser, error) {
			d, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
			if err != nil {
				return nil, err
			}
			return d.IOReadCloser(), nil
		}
	}
	return nil
}

// unpacker reads what comes out of a compressed file, and stops where that is too much for its size.
type unpacker struct {
	in   io.Reader
	read *counter // of the compressed file
	out  int64
}

func (u *unpacker) Read(b []byte) (int, error) {
	n, err := u.in.Read(b)
	u.out += int64(n)
	if u.out > bombSize && u.out > maxRatio*u.read.n {
		return 0, fmt.Errorf("more than %d bytes come out of each that is in the compressed file, and text is not like that; if the file is your own, unpack it first", maxRatio)
	}
	if err != nil && err != io.EOF {
		err = damaged(err)
	}
	return n, err
}

// damaged is an error of unpacking in our words.
func damaged(err error) error {
	if _, ok := errors.AsType[*fs.PathError](err); ok {
		return err // of the disk
	}
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return errors.New("the compressed file is cut off; get it again")
	case errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return fmt.Errorf("compressed with zstd so that unpacking takes more than %d MiB; unpack it first, or compress it without --ultra and --long", maxWindow>>20)
	case errors.Is(err, gzip.ErrChecksum), errors.Is(err, gzip.ErrHeader), errors.Is(err, zstd.ErrCRCMismatch):
		return errors.New("the compressed file is damaged; get it again")
	}
	return fmt.Errorf("the compressed file is damaged (%w); get it again", err)
}
