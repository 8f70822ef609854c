package bootfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"text/template"
)

// maxTemplate bounds the scripts that are looked at for actions of a template.
const maxTemplate = 64 << 10

// Asked is what a template may use of the request that it answers.
type Asked struct {
	Server netip.Addr // the address of this server that was asked
	Client netip.Addr // the address that asked
	File   string     // the file as the client wrote it
}

// fill executes a file as a template, if it is one: a script that holds "{{".
// Everything else is returned as it is.
func fill(name string, f file, asked Asked) (file, error) {
	if f.size > maxTemplate {
		return f, nil
	}
	text, err := io.ReadAll(io.NewSectionReader(f, 0, f.size))
	if err != nil {
		return file{}, broken(errors.Join(err, f.Close()))
	}
	if !bytes.HasPrefix(text, []byte("#!ipxe")) || !bytes.Contains(text, []byte("{{")) {
		return f, nil
	}
	if err := f.Close(); err != nil {
		return file{}, broken(err)
	}
	var filled bytes.Buffer
	t, err := template.New(name).Parse(string(text))
	if err == nil {
		err = t.Execute(&filled, asked)
	}
	if err != nil {
		return file{}, broken(fmt.Errorf("{{ in %q begins no template action that can be carried out: %w", name, err))
	}
	return inMemory(filled.Bytes()), nil
}

func broken(err error) error {
	return &failure{Failed, codeOther, "the file cannot be read", err}
}

func inMemory(b []byte) file {
	return file{ReaderAt: bytes.NewReader(b), Closer: io.NopCloser(nil), size: int64(len(b))}
}
