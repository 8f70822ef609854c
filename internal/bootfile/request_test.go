package bootfile

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseRequest(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		datagram string
		want     request
	}{
		"plain": {
			"\x00\x01ipxe.efi\x00octet\x00",
			request{op: opRead, name: "ipxe.efi", mode: "octet"},
		},
		"write": {
			"\x00\x02a\x00NetASCII\x00",
			request{op: opWrite, name: "a", mode: "NetASCII"},
		},
		"options": {
			"\x00\x01a\x00octet\x00BlkSize\x001468\x00tsize\x000\x00",
			request{op: opRead, name: "a", mode: "octet", options: []option{{"BlkSize", "1468"}, {"tsize", "0"}}},
		},
		"padded with zeros": {
			"\x00\x01a\x00octet\x00tsize\x000\x00\x00\x00\x00\x00",
			request{op: opRead, name: "a", mode: "octet", options: []option{{"tsize", "0"}}},
		},
		"an option without value": {
			"\x00\x01a\x00octet\x00tsize\x00",
			request{op: opRead, name: "a", mode: "octet"},
		},
		"an open value": {
			"\x00\x01a\x00octet\x00tsize\x000",
			request{op: opRead, name: "a", mode: "octet"},
		},
		"empty name and mode": {
			"\x00\x01\x00\x00",
			request{op: opRead},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := parseRequest([]byte(test.datagram))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(request{}, option{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func FuzzRequest(f *testing.F) {
	f.Add(rrq("ipxe-x86_64.efi", "tsize", "0", "blksize", "1468", "windowsize", "4"))
	f.Add([]byte("\x00\x02\x00\x00\x00\x00"))
	f.Add([]byte("\x00\x01a\x00octet\x00\x00x\x00"))
	f.Add(errorPacket(1, "x"))
	f.Add([]byte{0})
	f.Fuzz(func(t *testing.T, b []byte) {
		parseReply(b)
		first, err := parseRequest(b)
		if err != nil {
			return
		}
		second, err := parseRequest(first.encode())
		if err != nil {
			t.Fatalf("%q: %v", first.encode(), err)
		}
		if !first.same(second) {
			t.Errorf("%+v became %+v", first, second)
		}
		terms := first.negotiate(offer{size: 1, block: func(n int) int { return n }, second: time.Second})
		if terms.block < minBlock || terms.block > maxBlock || terms.window < 1 || terms.window > maxWindow {
			t.Errorf("%+v", terms)
		}
		if w := waits(max(terms.timeout, time.Second), time.Second); len(w) < 2 || len(w) > 5 {
			t.Errorf("waits %v", w)
		}
	})
}

func TestWaits(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		timeout time.Duration
		want    []time.Duration
	}{
		"default":  {time.Second, []time.Duration{1e9, 1e9, 2e9, 4e9, 8e9}},
		"three":    {3 * time.Second, []time.Duration{3e9, 3e9, 6e9, 8e9, 8e9}},
		"ten":      {10 * time.Second, []time.Duration{10e9, 10e9, 10e9, 10e9, 10e9}},
		"twenty":   {20 * time.Second, []time.Duration{20e9, 20e9, 20e9}},
		"the most": {255 * time.Second, []time.Duration{255e9, 255e9}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, waits(test.timeout, time.Second)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestBlockFitsLink(t *testing.T) {
	t.Parallel()
	v4, v6 := endpoint{client: mustAddrPort("192.0.2.1:2070")}, endpoint{client: mustAddrPort("[2001:db8::1]:2070")}
	tests := map[string]struct {
		from        endpoint
		asked, want int
	}{
		"small":             {v4, 8, 8},
		"fits":              {v4, 1468, 1468},
		"too big":           {v4, 1469, 1468},
		"far too big":       {v4, 65464, 1468},
		"fits in IPv6":      {v6, 1448, 1448},
		"too big in IPv6":   {v6, 1468, 1448},
		"below what a link": {v6, 512, 512},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := test.from.block(test.asked); got != test.want {
				t.Errorf("got %d, want %d", got, test.want)
			}
		})
	}
}

// The loopback interface has a larger MTU, which counts.
func TestNegotiate(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		options []string
		want    string
	}{
		"none":                  {nil, ""},
		"unknown":               {[]string{"multicast", "", "saveFiles", "x"}, ""},
		"tsize":                 {[]string{"tsize", "0"}, "tsize 3000"},
		"tsize not 0":           {[]string{"tsize", "77"}, "tsize 3000"},
		"tsize bad":             {[]string{"tsize", "x"}, ""},
		"tsize negative":        {[]string{"tsize", "-1"}, ""},
		"blksize least":         {[]string{"blksize", "8"}, "blksize 8"},
		"blksize too small":     {[]string{"blksize", "7"}, ""},
		"blksize most":          {[]string{"blksize", "65464"}, "blksize 65464"},
		"blksize too big":       {[]string{"blksize", "65465"}, ""},
		"blksize signed":        {[]string{"blksize", "+512"}, ""},
		"blksize empty":         {[]string{"blksize", ""}, ""},
		"blksize hexadecimal":   {[]string{"blksize", "0x200"}, ""},
		"timeout":               {[]string{"timeout", "1"}, "timeout 1"},
		"timeout most":          {[]string{"timeout", "255"}, "timeout 255"},
		"timeout 0":             {[]string{"timeout", "0"}, ""},
		"timeout too long":      {[]string{"timeout", "256"}, ""},
		"windowsize":            {[]string{"windowsize", "16"}, "windowsize 16"},
		"windowsize bounded":    {[]string{"windowsize", "65535"}, "windowsize 64"},
		"windowsize 0":          {[]string{"windowsize", "0"}, ""},
		"windowsize too big":    {[]string{"windowsize", "65536"}, ""},
		"spelling kept":         {[]string{"BLKSIZE", "1024", "TSize", "0"}, "BLKSIZE 1024 TSize 3000"},
		"order kept, bad left":  {[]string{"timeout", "2", "blksize", "1", "x", "y", "tsize", "0"}, "timeout 2 tsize 3000"},
		"first of two counts":   {[]string{"blksize", "600", "BlkSize", "700"}, "blksize 600"},
		"EDK2":                  {[]string{"tsize", "0", "blksize", "1468", "windowsize", "4"}, "tsize 3000 blksize 1468 windowsize 4"},
		"number beyond 64 bits": {[]string{"tsize", "99999999999999999999"}, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bothPorts(t, func(t *testing.T, o Options) {
				o.BuiltIn = map[string][]byte{"a": sample(3000)}
				r := start(t, o)
				d, err := dial(t, r.Addr()).get(rrq("a", test.options...))
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(download{oack: test.want, bytes: sample(3000)}, d, cmp.AllowUnexported(download{})); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}
