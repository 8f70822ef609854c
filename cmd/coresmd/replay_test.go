package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
	"github.com/OpenCHAMI/coresmd/internal/record"
	"github.com/coredhcp/coredhcp/handler"
	"github.com/coredhcp/coredhcp/plugins"
	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"
)

// A goldenFile is a record of exchanges whose replies are golden files of a plugin.
type goldenFile struct {
	plugin    string // its folder, and its name in a configuration
	server    string
	before    string // plugins before it
	inventory string
	words     string // that go before those of the record
}

// goldenFiles are all records, by their names.
var goldenFiles = map[string]goldenFile{
	"plain":     {"coresmd", "server4", "    - server_id: 192.0.2.1\n    - earlier: coresmd\n", "inventory", ""},
	"networks":  {"coresmd", "server4", "    - server_id: 192.0.2.1\n    - earlier: coresmd\n", "inventory", ""},
	"fivewords": {"coresmd", "server4", "    - server_id: 192.0.2.1\n    - earlier: coresmd\n", "inventory", ""},
	"rules":     {"coresmd", "server4", "    - server_id: 192.0.2.1\n    - earlier: coresmd\n", "inventory", ""},
	"plain6":    {"coresmd", "server6", "    - server_id: LL 02:00:00:00:00:fe\n    - earlier: coresmd\n", "inventory6", ""},
	"networks6": {"coresmd", "server6", "    - server_id: LL 02:00:00:00:00:fe\n    - earlier: coresmd\n", "inventory6", ""},
	"rules6":    {"coresmd", "server6", "    - server_id: LL 02:00:00:00:00:fe\n    - earlier: coresmd\n", "inventory6", ""},
	"earlier6":  {"coresmd", "server6", "    - server_id: LL 02:00:00:00:00:fe\n    - earlier: IAs\n", "inventory6", ""},
	"four":      {"bootloop", "server4", "    - server_id: 192.0.2.1\n    - earlier: bootloop\n", "", "lease_file=leases.db "},
	"six":       {"bootloop", "server6", "    - server_id: LL 02:00:00:00:01:00\n    - earlier: bootloop\n", "", "lease_file=leases.db "},
}

// earlierPlugin sets what the tests of the plugins set before them: also what no
// plugin of CoreDHCP would.
var earlierPlugin = plugins.Plugin{
	Name: "earlier",
	Setup4: func(words ...string) (handler.Handler4, error) {
		usual := []dhcpv4.Modifier{dhcpv4.WithNetmask(net.CIDRMask(24, 32)), dhcpv4.WithRouter(dhcptest.IP("192.0.2.254")), dhcpv4.WithDNS(dhcptest.IP("192.0.2.53"))}
		wrong := []dhcpv4.Modifier{
			dhcpv4.WithYourIP(dhcptest.IP("192.0.2.250")), dhcpv4.WithLeaseTime(77),
			dhcpv4.WithOption(dhcpv4.OptBootFileName("wrong")), dhcpv4.WithOption(dhcpv4.OptTFTPServerName("wrong")), dhcpv4.WithOption(dhcpv4.OptRootPath("wrong")),
			func(d *dhcpv4.DHCPv4) { d.BootFileName = "wrong" },
		}
		if words[0] == "coresmd" {
			usual = append(usual, wrong...)
		}
		return dhcptest.Earlier(usual...), nil
	},
	Setup6: func(words ...string) (handler.Handler6, error) {
		dns := dhcpv6.WithDNS(net.ParseIP("2001:db8::53"))
		prefix := &dhcpv6.OptIAPD{IaId: [4]byte{0, 0, 0, 1}}
		prefix.Options.Add(&dhcpv6.OptIAPrefix{})
		return dhcptest.Earlier6(map[string][]dhcpv6.Modifier{
			"coresmd":  {dns, dhcpv6.WithOption(dhcpv6.OptBootFileURL("wrong")), dhcpv6.WithOption(dhcpv6.OptBootFileParam("wrong"))},
			"bootloop": {dns},
			"IAs":      {dhcptest.NA(1, "2001:db8:1::99"), dhcpv6.WithOption(prefix)},
		}[words[0]]...), nil
	},
}

// saysNothing is why a reply of a plugin is not in a record.
const saysNothing = "it says nothing that was asked for: the packet loop sends none, and silence is what is replayed"

// notReplayed are the golden replies that cannot be replayed, with the reason.
var notReplayed = map[string]string{
	"bootloop/six/information-request":           saysNothing,
	"coresmd/plain6/confirm-unknown":             saysNothing,
	"coresmd/plain6/information-request-unknown": saysNothing,
	"coresmd/plain6/rebind-unknown":              saysNothing,
}

// A goldenExchange is one of a record.
type goldenExchange struct {
	name, words string
	exchange    record.Exchange
}

// readGolden reads a record.
func readGolden(t *testing.T, path string) (all []*goldenExchange) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	r, err := record.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	for {
		d, err := r.Next()
		switch {
		case errors.Is(err, io.EOF):
			return all
		case err != nil:
			t.Fatal(err)
		case d.Sent:
			x := &all[len(all)-1].exchange
			x.Replied, x.ReplyFrom, x.ReplyTo, x.Reply = d.Time, d.From, d.To, d.Payload
			continue
		}
		parts := strings.SplitN(d.Comment, ": ", 3)
		if len(parts) != 3 || parts[0] != "golden" {
			t.Fatalf("comment %q", d.Comment)
		}
		all = append(all, &goldenExchange{parts[1], parts[2], record.Exchange{
			Time: d.Time, Interface: d.Interface, From: d.From, To: d.To, V6: d.V6(), Request: d.Payload,
			Decisions: []record.Decision{{Plugin: "golden", Verdict: parts[1]}},
		}})
	}
}

// writeGolden writes exchanges as a record of its own, with the configuration that
// they were made on.
func (g *goldenFile) write(t *testing.T, folder string, all []*goldenExchange, more string) {
	t.Helper()
	file, err := os.Create(filepath.Join(folder, "file.pcapng"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	w := record.NewWriter(file, record.Application)
	for _, x := range all {
		if err := w.Write(&x.exchange); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	config := g.server + ":\n  plugins:\n" + g.before + "    - " + g.plugin + ": " + g.words + all[0].words + more + "\n"
	if err := os.WriteFile(filepath.Join(folder, "config.yaml"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
}

// replay replays what write wrote.
func (g *goldenFile) replay(t *testing.T, folder string) (answer replay, status int) {
	t.Helper()
	words := []string{"replay", "file.pcapng", "-c", "config.yaml", "--format", "json"}
	if g.inventory != "" {
		path, err := filepath.Abs(filepath.Join("..", "..", g.plugin, "testdata", "replay", g.inventory+".json"))
		if err != nil {
			t.Fatal(err)
		}
		words = append(words, "--inventory", path)
	}
	got := aloneAsItIs(t, folder, words...)
	if err := json.Unmarshal([]byte(got.Out), &answer); err != nil || got.Err != "" {
		t.Fatalf("%v: %s", err, got.Err)
	}
	return answer, got.Status
}

// TestReplayGolden has each golden exchange of the plugins replayed on the
// configuration that it was made on: it is the same.
func TestReplayGolden(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	replayed := make(map[string]bool)
	t.Run("files", func(t *testing.T) {
		for file, g := range goldenFiles {
			all := readGolden(t, filepath.Join("..", "..", g.plugin, "testdata", "replay", file+".pcapng"))
			for key, group := range grouped(g.plugin, all) {
				t.Run(file+"/"+key, func(t *testing.T) {
					t.Parallel()
					folder := t.TempDir()
					g.write(t, folder, group, "")
					answer, status := g.replay(t, folder)
					if len(answer.Exchanges) != len(group) || status != exitFine {
						t.Errorf("%d exchanges, want %d; status %d", len(answer.Exchanges), len(group), status)
					}
					for i, x := range answer.Exchanges {
						name := g.plugin + "/" + group[i].name
						if x.Result != replaySame {
							t.Errorf("%s: %s: then %+v, now %+v", name, x.Result, x.Then, x.Now)
							continue
						}
						if group[i].exchange.Reply != nil {
							mu.Lock()
							replayed[name] = true
							mu.Unlock()
						}
					}
				})
			}
		}
	})
	var lacking []string
	for name := range goldenReplies(t) {
		if !replayed[name] {
			lacking = append(lacking, name)
		}
	}
	slices.Sort(lacking)
	if diff := cmp.Diff(slices.Sorted(maps.Keys(notReplayed)), lacking); diff != "" {
		t.Errorf("golden replies that are not replayed (-want +got):\n%s", diff)
	}
	t.Logf("%d golden replies replayed, %d not", len(replayed), len(lacking))
}

// grouped puts exchanges together that are replayed on one configuration: those of
// coresmd by the words of its directive, those of bootloop by name, since one gives
// the lease that the next may renew.
func grouped(plugin string, all []*goldenExchange) map[string][]*goldenExchange {
	groups := make(map[string][]*goldenExchange)
	for _, x := range all {
		key := x.words
		if plugin == "bootloop" {
			key = x.name
		}
		groups[key] = append(groups[key], x)
	}
	return groups
}

// goldenReplies are the golden files of replies of the plugins.
func goldenReplies(t *testing.T) map[string]bool {
	t.Helper()
	all := make(map[string]bool)
	for _, plugin := range []string{"coresmd", "bootloop"} {
		root := filepath.Join("..", "..", plugin, "testdata")
		err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
			if name, is := strings.CutSuffix(path, ".golden"); is {
				text, err := os.ReadFile(path)
				if err == nil && (strings.HasPrefix(string(text), "DHCPv4 Message") || strings.Contains(string(text), "Message{")) {
					all[plugin+strings.TrimPrefix(name, root)] = true
				}
				return err
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(all) < 150 {
		t.Fatalf("%d golden replies", len(all))
	}
	return all
}

// TestReplayDifference has a configuration that was changed in one thing: that is
// what differs, and nothing else.
func TestReplayDifference(t *testing.T) {
	t.Parallel()
	g := goldenFiles["plain"]
	all := readGolden(t, filepath.Join("..", "..", g.plugin, "testdata", "replay", "plain.pcapng"))
	folder := t.TempDir()
	g.write(t, folder, all, " lease_time=2h")
	answer, status := g.replay(t, folder)
	if status != exitWrong {
		t.Errorf("status %d, want %d", status, exitWrong)
	}
	different := 0
	for i, x := range answer.Exchanges {
		leases := all[i].exchange.Reply != nil && x.Now.Address != ""
		if (x.Result == replayDifferent) != leases {
			t.Errorf("%s: %s", all[i].name, x.Result)
			continue
		}
		if !leases {
			continue
		}
		different++
		var got []string
		for _, d := range x.Then[0].Differences {
			got = append(got, fmt.Sprintf("%s: %s -> %s", d.Part, d.Old, d.New))
		}
		want := []string{"51 IP Addresses Lease Time: 1h0m0s -> 2h0m0s", "58 Renew Time Value: 30m0s -> 1h0m0s", "59 Rebinding Time Value: 52m30s -> 1h45m0s"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", all[i].name, diff)
		}
	}
	if different == 0 || different != answer.Different {
		t.Errorf("%d are different, %d are said to be", different, answer.Different)
	}
	g.write(t, folder, all[:2], " lease_time=2h")
	path, _ := filepath.Abs(filepath.Join("..", "..", g.plugin, "testdata", "replay", g.inventory+".json"))
	dhcptest.Golden(t, "replay-different", alone(t, folder, "replay", "file.pcapng", "-c", "config.yaml", "--inventory", path).shown())
	g.write(t, folder, all[:2], "")
	dhcptest.Golden(t, "replay-same", alone(t, folder, "replay", "file.pcapng", "-c", "config.yaml", "--inventory", path).shown())
}

// TestReplayMiddle has records that begin after a client got its temporary lease: it
// holds then what the answers show that it held. One has an address that is not the
// first that is free.
func TestReplayMiddle(t *testing.T) {
	t.Parallel()
	for file, names := range map[string][]string{
		"four": {"ack", "ack-renewal", "nak-renewal", "nak-relayed"},
		"six":  {"six/request", "six/renew", "six/renew-refuse", "six/release", "six/decline", "six/ipxe-script"},
	} {
		g := goldenFiles[file]
		groups := grouped("bootloop", readGolden(t, filepath.Join("..", "..", g.plugin, "testdata", "replay", file+".pcapng")))
		for _, name := range names {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				group := groups[name]
				if len(group) != 3 {
					t.Fatalf("%d exchanges, want a handshake and one behind it", len(group))
				}
				folder := t.TempDir()
				// The other family has its leases elsewhere.
				other := "\nserver4:\n  plugins:\n    - bootloop: lease_file=leases4.db subnet=192.0.2.0/24,pool:192.0.2.1-192.0.2.9"
				if file == "four" {
					other = "\nserver6:\n  plugins:\n    - bootloop: lease_file=leases6.db subnet=2001:db8::/64,pool:2001:db8::1-2001:db8::9"
				}
				g.write(t, folder, group[2:], other)
				answer, status := g.replay(t, folder)
				if len(answer.Exchanges) != 1 || answer.Exchanges[0].Result != replaySame || status != exitFine {
					t.Errorf("status %d: %+v", status, answer.Exchanges)
				}
			})
		}
	}
	g := goldenFiles["four"]
	offer := grouped("bootloop", readGolden(t, filepath.Join("..", "..", "bootloop", "testdata", "replay", "four.pcapng")))["offer"]
	const yiaddr = 16
	copy(offer[0].exchange.Reply[yiaddr:], []byte{192, 0, 2, 201})
	folder := t.TempDir()
	g.write(t, folder, offer, "")
	if answer, status := g.replay(t, folder); status != exitFine {
		t.Errorf("another address: status %d: %+v", status, answer.Exchanges)
	}
	g.write(t, folder, offer, " subnet=198.51.100.0/24,pool:198.51.100.7-198.51.100.9") // the pool is a second one now
	if _, status := g.replay(t, folder); status != exitFine {
		t.Errorf("with another pool: status %d", status)
	}
}

// TestReplayIncumbent has the record of another server, whose offer a client selects:
// it is asked as if it selected ours. Without --incumbent it is another server's.
func TestReplayIncumbent(t *testing.T) {
	t.Parallel()
	g := goldenFiles["four"]
	ack := grouped("bootloop", readGolden(t, filepath.Join("..", "..", "bootloop", "testdata", "replay", "four.pcapng")))["ack"]
	theirs := []byte{54, 4, 192, 0, 2, 9}
	for _, x := range ack {
		for _, octets := range [][]byte{x.exchange.Request, x.exchange.Reply} {
			if at := bytes.Index(octets, []byte{54, 4, 192, 0, 2, 1}); at > 0 {
				copy(octets[at:], theirs)
			}
		}
		const siaddr = 20
		copy(x.exchange.Reply[siaddr:], theirs[2:])
	}
	folder := t.TempDir()
	g.write(t, folder, ack, "")
	for flag, want := range map[string]string{"": "different different different", "--incumbent": "same same same"} {
		words := []string{"replay", "file.pcapng", "-c", "config.yaml", "--format", "yaml"}
		if flag != "" {
			words = append(words, flag)
		}
		got := aloneAsItIs(t, folder, words...)
		var results []string
		for line := range strings.Lines(got.Out) {
			if result, is := strings.CutPrefix(line, "    result: "); is {
				results = append(results, strings.TrimSpace(result))
			}
		}
		if said := strings.Join(results, " "); said != want || got.Err != "" {
			t.Errorf("%s: %s, want %s: %s", flag, said, want, got.Err)
		}
	}
}

// TestReplayBroken has a file whose writer was killed: what is whole is asked, and
// what is not is said.
func TestReplayBroken(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	g := goldenFiles["plain"]
	g.write(t, folder, readGolden(t, filepath.Join("..", "..", g.plugin, "testdata", "replay", "plain.pcapng"))[:2], "")
	whole, err := os.ReadFile(filepath.Join(folder, "file.pcapng"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "broken"), whole[:len(whole)-7], 0o644); err != nil {
		t.Fatal(err)
	}
	path, _ := filepath.Abs(filepath.Join("..", "..", g.plugin, "testdata", "replay", g.inventory+".json"))
	dhcptest.Golden(t, "replay-broken", alone(t, folder, "replay", "broken", "-c", "config.yaml", "--inventory", path).shown())
}

// TestReplayMistakes has what is said of files and words that are wrong.
func TestReplayMistakes(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	g := goldenFiles["plain"]
	all := readGolden(t, filepath.Join("..", "..", g.plugin, "testdata", "replay", "plain.pcapng"))
	g.write(t, folder, all[:1], "")
	whole, err := os.ReadFile(filepath.Join(folder, "file.pcapng"))
	if err != nil {
		t.Fatal(err)
	}
	for name, octets := range map[string][]byte{"text": []byte("server4:\n  plugins: []\n"), "cut": whole[:len(whole)-7], "head": whole[:200], "empty": nil} {
		if err := os.WriteFile(filepath.Join(folder, name), octets, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	other := all[0].exchange
	other.Request = []byte("no message")
	g.write(t, folder, []*goldenExchange{{words: all[0].words, exchange: record.Exchange{Time: other.Time, Request: other.Request}}}, "")
	const noCapture = "no packet capture; wanted pcapng or pcap, as coresmd pcap, tcpdump and Wireshark write them"
	for words, want := range map[string]string{
		"file.pcapng":                "wanted -c FILE, the configuration to ask",
		"":                           "wanted a file of packets",
		"nowhere -c config.yaml":     "open nowhere: no such file or directory",
		"text -c config.yaml":        "text: " + noCapture,
		"empty -c config.yaml":       "empty: " + noCapture,
		"file.pcapng -c nowhere":     "there is no file nowhere",
		"file.pcapng -c config.yaml": "reading the inventory of file:///nowhere: reading inventory: stat /nowhere/EthernetInterfaces.json: no such file or directory",
		"file.pcapng -c config.yaml --inventory inventory.json": "file.pcapng: no request of a DHCP client is in it; packets left out: 1 malformed",
		"head -c config.yaml --inventory inventory.json":        "head: no request of a DHCP client is in it; packets left out: 1 in the middle of which the file ends",
	} {
		inventory, _ := filepath.Abs(filepath.Join("..", "..", g.plugin, "testdata", "replay", "inventory.json"))
		got := alone(t, folder, append([]string{"replay"}, strings.Fields(strings.ReplaceAll(words, "inventory.json", inventory))...)...)
		if diff := cmp.Diff(said{Err: "coresmd: " + want + "\n", Status: exitFailed}, got); diff != "" {
			t.Errorf("replay %s (-want +got):\n%s", words, diff)
		}
	}
}

// TestReports replays what was sent with reports of bugs: testdata/reports/NAME has
// the packets, the configuration and the inventory, and what replay is to say.
func TestReports(t *testing.T) {
	t.Parallel()
	reports, err := filepath.Glob("testdata/reports/*/report.pcapng")
	if err != nil || len(reports) == 0 {
		t.Fatalf("%v, %v", reports, err)
	}
	for _, path := range reports {
		folder, err := filepath.Abs(filepath.Dir(path))
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(folder)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := alone(t, t.TempDir(), "replay", filepath.Join(folder, "report.pcapng"), "-c", filepath.Join(folder, "config.yaml"), "--inventory", filepath.Join(folder, "inventory.json"))
			dhcptest.Golden(t, "reports/"+name+"/answer", got.shown())
		})
	}
}

// TestReplayMany has more exchanges than an answer in one piece may have.
func TestReplayMany(t *testing.T) {
	t.Parallel()
	g := goldenFiles["plain"]
	one := readGolden(t, filepath.Join("..", "..", g.plugin, "testdata", "replay", "plain.pcapng"))[0]
	var all []*goldenExchange
	for n := range mostReplayed + 1 {
		next := *one
		next.exchange.Request, next.exchange.Reply = bytes.Clone(one.exchange.Request), bytes.Clone(one.exchange.Reply)
		const xid = 4
		binary.BigEndian.PutUint32(next.exchange.Request[xid:], uint32(n))
		binary.BigEndian.PutUint32(next.exchange.Reply[xid:], uint32(n))
		all = append(all, &next)
	}
	folder := t.TempDir()
	g.write(t, folder, all, "")
	inventory, _ := filepath.Abs(filepath.Join("..", "..", g.plugin, "testdata", "replay", "inventory.json"))
	words := []string{"replay", "file.pcapng", "-c", "config.yaml", "--inventory", inventory, "--format", "json"}
	want := said{Err: "coresmd: file.pcapng: more than 10000 exchanges for --format json; wanted --differences, --format table, or a file of fewer machines\n", Status: exitFailed}
	if diff := cmp.Diff(want, alone(t, folder, words...)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	got := alone(t, folder, append(words, "--differences")...)
	if want := "{\n  \"exchanges\": [],\n  \"different\": 0,\n"; !strings.HasPrefix(got.Out, want) || got.Status != exitFine {
		t.Errorf("--differences: %+v", got)
	}
}
