package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand"
	"net"
	"sync"
)

const (
	headerSize = 24
	cmdPush    = 81
	cmdAck     = 82
	cmdWask    = 83
	cmdWins    = 84
)

type counts struct {
	Datagrams int    `json:"datagrams"`
	Lost      int    `json:"lost"`
	Push      [2]int `json:"push"` // out, in; as for all below
	Ack       [2]int `json:"ack"`
	Wask      [2]int `json:"wask"`
	Wins      [2]int `json:"wins"`
	Again     [2]int `json:"again"` // PUSHes that were seen before
	Odd       int    `json:"odd"`   // datagrams that no KCP sends
	Why       string `json:"why"`   // the first of them
}

// direction puts the segments of one direction together again.
type direction struct {
	segments map[uint32][]byte
}

// isPrefixOf: whether the segments, in order up to the first that is missing, are the beginning of a stream, and nearly
// all of it: the last few may be under way.
func (d *direction) isPrefixOf(stream []byte) bool {
	var seen bytes.Buffer
	for sn := uint32(0); ; sn++ {
		data, ok := d.segments[sn]
		if !ok {
			break
		}
		seen.Write(data)
	}
	n := seen.Len()
	if n > len(stream) {
		n = len(stream)
	}
	return n > 0 && len(stream)-n < 1<<17 && bytes.Equal(seen.Bytes()[:n], stream[:n])
}

// wiretap is a UDP socket that loses datagrams, and looks at those that pass.
type wiretap struct {
	*net.UDPConn
	mutex    sync.Mutex
	loss     float64
	random   *rand.Rand
	c        counts
	conv     uint32
	knowConv bool
	out, in  direction
}

func newWiretap(socket *net.UDPConn, loss float64, seed int64) *wiretap {
	return &wiretap{
		UDPConn: socket,
		loss:    loss,
		random:  rand.New(rand.NewSource(seed)),
		out:     direction{map[uint32][]byte{}},
		in:      direction{map[uint32][]byte{}},
	}
}

func (w *wiretap) counts() counts {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return w.c
}

// pass looks at a datagram; false: it gets lost.
func (w *wiretap) pass(datagram []byte, way int) bool {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.c.Datagrams++
	if w.random.Float64() < w.loss {
		w.c.Lost++
		return false
	}
	if err := w.read(datagram, way); err != nil {
		if w.c.Odd == 0 {
			w.c.Why = err.Error()
		}
		w.c.Odd++
	}
	return true
}

func (w *wiretap) read(datagram []byte, way int) error {
	if len(datagram) > 1400 {
		return fmt.Errorf("%d bytes, more than KCP's MTU", len(datagram))
	}
	for rest := datagram; len(rest) > 0; {
		if len(rest) < headerSize {
			return fmt.Errorf("%d bytes left of %d", len(rest), len(datagram))
		}
		conv := binary.LittleEndian.Uint32(rest)
		cmd := rest[4]
		sn := binary.LittleEndian.Uint32(rest[12:])
		size := binary.LittleEndian.Uint32(rest[20:])
		if !w.knowConv {
			w.conv, w.knowConv = conv, true
		}
		if conv != w.conv {
			return fmt.Errorf("conversation %d, not %d", conv, w.conv)
		}
		if uint64(size) > uint64(len(rest)-headerSize) {
			return fmt.Errorf("a segment of %d bytes, %d left", size, len(rest)-headerSize)
		}
		if cmd != cmdPush && size != 0 {
			return fmt.Errorf("command %d with %d bytes of data", cmd, size)
		}
		if err := w.count(cmd, sn, rest[headerSize:headerSize+size], way); err != nil {
			return err
		}
		rest = rest[headerSize+size:]
	}
	return nil
}

func (w *wiretap) count(cmd byte, sn uint32, data []byte, way int) error {
	switch cmd {
	case cmdPush:
		w.c.Push[way]++
		return w.remember(sn, data, way)
	case cmdAck:
		w.c.Ack[way]++
	case cmdWask:
		w.c.Wask[way]++
	case cmdWins:
		w.c.Wins[way]++
	default:
		return fmt.Errorf("command %d", cmd)
	}
	return nil
}

func (w *wiretap) remember(sn uint32, data []byte, way int) error {
	to := &w.out
	if way == 1 {
		to = &w.in
	}
	if known, ok := to.segments[sn]; ok {
		w.c.Again[way]++
		if !bytes.Equal(known, data) {
			return fmt.Errorf("segment %d has changed", sn)
		}
		return nil
	}
	to.segments[sn] = append([]byte(nil), data...)
	return nil
}

func (w *wiretap) WriteTo(datagram []byte, to net.Addr) (int, error) {
	if !w.pass(datagram, 0) {
		return len(datagram), nil
	}
	return w.UDPConn.WriteTo(datagram, to)
}

func (w *wiretap) ReadFrom(buffer []byte) (int, net.Addr, error) {
	for {
		n, from, err := w.UDPConn.ReadFrom(buffer)
		if err != nil || w.pass(buffer[:n], 1) {
			return n, from, err
		}
	}
}
