// A host on the virtual LAN that came in by a KCP that is not ours: kcp-go, as Debian packages it, unmodified. It dials
// the [listen] of a server, speaks 0xBCBC frames, answers ARP and ping for its address, and has a station of the LAN echo
// random payloads, which it compares byte for byte. Beside that it looks at every datagram that passes: each must be of
// KCP's layout, and the segments of each direction put together must be the stream that the program read or wrote.
//
// Prints "joined" when the station is found, then a JSON object with what it has counted, then answers until it is ended.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"math/rand"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	kcp "github.com/xtaci/kcp-go"
)

type options struct {
	server, ip, peer, mode string
	echoes, window, rcvwnd int
	port                   int
	loss                   float64
	seed                   int64
	nodelay                bool
}

func readOptions() options {
	var o options
	flag.StringVar(&o.server, "server", "", "address and port of the listener")
	flag.StringVar(&o.ip, "ip", "", "our address on the LAN")
	flag.StringVar(&o.peer, "peer", "", "the station that is to echo")
	flag.StringVar(&o.mode, "mode", "message", "message or stream")
	flag.IntVar(&o.port, "port", 0, "our UDP port; 0: any")
	flag.IntVar(&o.echoes, "echoes", 100, "payloads to have echoed")
	flag.IntVar(&o.window, "window", 16, "of these under way at a time")
	flag.IntVar(&o.rcvwnd, "rcvwnd", 32, "KCP's receive window, in segments")
	flag.Float64Var(&o.loss, "loss", 0, "share of datagrams that get lost, each way")
	flag.Int64Var(&o.seed, "seed", 1, "of the losses and payloads")
	flag.BoolVar(&o.nodelay, "nodelay", true, "KCP's nodelay, interval 10, resend 2, nc 1")
	flag.Parse()
	return o
}

func dial(o options, tap *wiretap) *kcp.UDPSession {
	session, err := kcp.NewConn(o.server, nil, 0, 0, tap)
	if err != nil {
		log.Fatal(err)
	}
	if o.nodelay {
		session.SetNoDelay(1, 10, 2, 1)
	}
	session.SetStreamMode(o.mode == "stream")
	session.SetWindowSize(1024, o.rcvwnd)
	return session
}

type report struct {
	Echoed   int    `json:"echoed"`
	Wrong    int    `json:"wrong"`     // echoes that differ from what was sent
	Repeated int    `json:"repeated"`  // payloads that were sent again
	CutReads int    `json:"cut_reads"` // messages that are not one frame
	SameIn   bool   `json:"same_in"`   // the segments that passed are the bytes that were read
	SameOut  bool   `json:"same_out"`
	Wire     counts `json:"wire"`
}

func main() {
	o := readOptions()
	log.SetFlags(0)
	socket, err := net.ListenUDP("udp", &net.UDPAddr{Port: o.port})
	if err != nil {
		log.Fatal(err)
	}
	tap := newWiretap(socket, o.loss, o.seed)
	lan := newStation(dial(o, tap), net.ParseIP(o.ip).To4(), o.mode == "message", rand.New(rand.NewSource(o.seed)))
	go lan.receive()
	if !lan.find(net.ParseIP(o.peer).To4(), 30*time.Second) {
		log.Fatalf("%s does not answer ARP", o.peer)
	}
	fmt.Println("joined")
	r := report{}
	r.Echoed, r.Wrong, r.Repeated = lan.echo(o.echoes, o.window)
	read, written, cut := lan.streams()
	r.CutReads = cut
	r.SameIn = tap.in.isPrefixOf(read)
	r.SameOut = tap.out.isPrefixOf(written)
	r.Wire = tap.counts()
	if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
		log.Fatal(err)
	}
	done := make(chan os.Signal, 1)
	signal.Notify(done, syscall.SIGTERM, os.Interrupt)
	<-done
}
