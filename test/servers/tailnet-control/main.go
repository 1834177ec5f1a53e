// Command tailnet-control is a tailnet's centre for tests: the control server that Tailscale's own integration tests use, with a relay
// (DERP) and a STUN server beside it, all on 127.0.0.1 of the network namespace in which it is started. Nodes find it at the address of -at,
// by which a machine of its own reaches that 127.0.0.1.
//
// A node key that it knows needs no login and keeps its address; a new one needs the key that -auth-key says, as often as that is shown,
// and gets the next address of 100.64.0.0/10. What it knows is in memory alone. Orders come on standard input, a line each, `expire 100.64.0.1`
// or `remove 100.64.0.1`, and are repeated on standard output when they are done. It ends when its standard input does.
package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"time"

	"tailscale.com/derp/derpserver"
	"tailscale.com/net/stunserver"
	"tailscale.com/tailcfg"
	"tailscale.com/tstest/integration/testcontrol"
	"tailscale.com/types/key"
)

func main() {
	authKey := flag.String("auth-key", "", "what a new node has to show")
	at := flag.String("at", "127.0.0.1", "the address at which nodes find it")
	flag.Parse()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	url := fmt.Sprintf("http://%s:%d", *at, listener.Addr().(*net.TCPAddr).Port)
	control := &testcontrol.Server{
		ExplicitBaseURL:  url,
		AllNodesSameUser: true,
		DERPMap:          relay(*at),
		Verbose:          true,
	}
	doorman := &doorman{control: control, authKey: *authKey, known: map[key.NodePublic]bool{}}
	log.SetOutput(doorman)
	(&presence{control: control, polls: map[key.NodePublic]int{}}).watch()
	go func() { log.Fatal(http.Serve(listener, control)) }()
	fmt.Println(url)
	for orders := bufio.NewScanner(os.Stdin); orders.Scan(); fmt.Println(orders.Text()) {
		verb, address, _ := strings.Cut(orders.Text(), " ")
		doorman.order(verb, address)
	}
}

// doorman decides who needs a login, as the real service does: a node that is known and not expired needs none, another one is told where to
// log in, or may show the key. By itself the test server asks every node or none, each time that it starts, and has no hook where it decides;
// but under Verbose it logs each request to register, in the same goroutine, right before that.
type doorman struct {
	control *testcontrol.Server
	authKey string
	mu      sync.Mutex
	known   map[key.NodePublic]bool
	removed tailcfg.NodeID
}

func (d *doorman) Write(line []byte) (int, error) {
	_, said, found := bytes.Cut(line, []byte("Got tailcfg.RegisterRequest: "))
	if !found {
		return os.Stderr.Write(line)
	}
	var request tailcfg.RegisterRequest
	if err := json.Unmarshal(said, &request); err != nil {
		return 0, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	shows := request.Auth != nil && request.Auth.AuthKey != ""
	if shows && request.Auth.AuthKey == d.authKey {
		d.known[request.NodeKey] = true
		d.setExpiry(request.NodeKey, time.Time{})
		d.setExpiry(request.OldNodeKey, time.Time{})
	}
	known := d.known[request.NodeKey]
	d.control.RequireAuth, d.control.RequireAuthKey = !known && !shows, ""
	if !known && shows {
		d.control.RequireAuthKey = d.authKey
	}
	return len(line), nil
}

func (d *doorman) setExpiry(node key.NodePublic, expiry time.Time) {
	if is := d.control.Node(node); is != nil {
		is.KeyExpiry = expiry
		d.control.UpdateNode(is)
	}
}

// order does to the node with an address what one does in the admin console: "expire" ends its key, so that it has to log in again and keeps
// its address; "remove" makes it somebody new, with another address.
func (d *doorman) order(verb, address string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, node := range d.control.AllNodes() {
		if node.Addresses[0].Addr().String() != address {
			continue
		}
		if verb == "expire" {
			d.setExpiry(node.Key, time.Now().Add(-time.Hour))
			continue
		}
		delete(d.known, node.Key)
		// The test server makes addresses of these numbers: 100.64.200.1.
		d.removed++
		node.ID = 200<<8 + d.removed
		node.StableID = tailcfg.StableNodeID(fmt.Sprintf("TESTCTRL%08x", int(node.ID)))
		d.control.UpdateNode(node)
	}
}

// relay starts a DERP and a STUN server, found at that address, and returns the map that makes them the only ones.
func relay(at string) *tailcfg.DERPMap {
	stun := stunserver.New(context.Background())
	if err := stun.Listen("127.0.0.1:0"); err != nil {
		log.Fatal(err)
	}
	go stun.Serve()
	derp := httptest.NewUnstartedServer(derpserver.Handler(derpserver.New(key.NewNode(), log.Printf)))
	derp.Config.ErrorLog = log.Default()
	// A relay connection takes the TCP connection over, which HTTP/2 has no way to.
	derp.Config.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){}
	derp.StartTLS()
	return &tailcfg.DERPMap{Regions: map[int]*tailcfg.DERPRegion{1: {
		RegionID:   1,
		RegionCode: "test",
		Nodes: []*tailcfg.DERPNode{{
			Name:             "1",
			RegionID:         1,
			HostName:         at,
			IPv4:             at,
			IPv6:             "none",
			STUNPort:         stun.LocalAddr().(*net.UDPAddr).Port,
			STUNTestIP:       at,
			DERPPort:         derp.Listener.Addr().(*net.TCPAddr).Port,
			InsecureForTests: true,
		}},
	}}}
}

// presence tells the nodes which of the others are online, as the real service does and the test server by itself does not: those that
// hold a streaming poll open.
type presence struct {
	control *testcontrol.Server
	// updates is held for reading while a node's own update is under way, because setting Online writes the whole node.
	updates sync.RWMutex
	polls   map[key.NodePublic]int
}

func (p *presence) watch() {
	p.control.HoldMapRequest = func(request *tailcfg.MapRequest) (done func()) {
		if !request.Stream {
			p.updates.RLock()
			return p.updates.RUnlock
		}
		p.count(request.NodeKey, 1)
		return func() { p.count(request.NodeKey, -1) }
	}
}

func (p *presence) count(node key.NodePublic, change int) {
	p.updates.Lock()
	defer p.updates.Unlock()
	before := p.polls[node]
	p.polls[node] = before + change
	online := p.polls[node] > 0
	if online == (before > 0) {
		return
	}
	if known := p.control.Node(node); known != nil {
		now := time.Now()
		known.Online, known.LastSeen = &online, &now
		p.control.UpdateNode(known)
	}
}
