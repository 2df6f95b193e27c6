package main

import (
	"bytes"
	"encoding/binary"
	"io"
	"log"
	"math/rand"
	"net"
	"sync"
	"time"
)

const (
	flagFrame     = 0xBCBC
	framingHeader = 4
	etherHeader   = 14
	typeIPv4      = 0x0800
	typeARP       = 0x0806
	payloadMax    = 1472 // of a ping in a packet of 1500 bytes
	echoIdent     = 0x4b43
	echoPatience  = 3 * time.Second
)

// question is a payload that waits for its echo.
type question struct {
	payload []byte
	asked   time.Time
}

// station is a host with one address on the LAN.
type station struct {
	conn     io.ReadWriter
	messages bool // each read is a message, and each message a frame
	mac      net.HardwareAddr
	ip       net.IP
	random   *rand.Rand

	mutex         sync.Mutex
	peerIP        net.IP
	peerMAC       net.HardwareAddr
	pending       map[uint16]question
	echoed, wrong int
	repeated      int
	read, written bytes.Buffer
	cut           int
	changed       chan struct{}
}

func newStation(conn io.ReadWriter, ip net.IP, messages bool, random *rand.Rand) *station {
	return &station{
		conn:     conn,
		messages: messages,
		mac:      net.HardwareAddr{2, 0x4b, 0x43, 0x50, 0, ip[3]},
		ip:       ip,
		random:   random,
		pending:  map[uint16]question{},
		changed:  make(chan struct{}, 1),
	}
}

func (s *station) streams() (read, written []byte, cut int) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return append([]byte(nil), s.read.Bytes()...), append([]byte(nil), s.written.Bytes()...), s.cut
}

// --- Frames out ---

// write sends a frame, padded as Ethernet demands; the mutex is held. In stream mode in two pieces, so that segments end
// anywhere.
func (s *station) write(frame []byte) {
	for len(frame) < 60 {
		frame = append(frame, 0)
	}
	framed := make([]byte, framingHeader, framingHeader+len(frame))
	binary.BigEndian.PutUint16(framed, flagFrame)
	binary.BigEndian.PutUint16(framed[2:], uint16(len(frame)))
	framed = append(framed, frame...)
	s.written.Write(framed)
	at := len(framed)
	if !s.messages {
		at = 1 + s.random.Intn(len(framed)-1)
	}
	for _, piece := range [][]byte{framed[:at], framed[at:]} {
		if len(piece) == 0 {
			continue
		}
		if _, err := s.conn.Write(piece); err != nil {
			log.Fatal(err)
		}
	}
}

func (s *station) ethernet(to net.HardwareAddr, kind uint16, payload []byte) []byte {
	frame := append(append([]byte(nil), to...), s.mac...)
	frame = append(frame, byte(kind>>8), byte(kind))
	return append(frame, payload...)
}

func (s *station) arp(operation byte, to net.HardwareAddr, mac net.HardwareAddr, ip net.IP) []byte {
	packet := []byte{0, 1, 8, 0, 6, 4, 0, operation}
	packet = append(append(packet, s.mac...), s.ip...)
	packet = append(append(packet, mac...), ip...)
	return s.ethernet(to, typeARP, packet)
}

func checksum(data []byte) uint16 {
	var sum uint32
	for i := 0; i < len(data); i += 2 {
		word := uint32(data[i]) << 8
		if i+1 < len(data) {
			word |= uint32(data[i+1])
		}
		sum += word
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

func (s *station) icmp(kind byte, to net.HardwareAddr, ip net.IP, body []byte) []byte {
	message := append([]byte{kind, 0, 0, 0}, body...)
	binary.BigEndian.PutUint16(message[2:], checksum(message))
	header := []byte{0x45, 0, 0, 0, 0, 0, 0, 0, 64, 1, 0, 0}
	header = append(append(header, s.ip...), ip...)
	binary.BigEndian.PutUint16(header[2:], uint16(len(header)+len(message)))
	binary.BigEndian.PutUint16(header[10:], checksum(header))
	return s.ethernet(to, typeIPv4, append(header, message...))
}

// --- Frames in ---

// receive takes the stream apart, whatever its pieces are, and answers.
func (s *station) receive() {
	buffer := make([]byte, 65536)
	var rest []byte
	for {
		n, err := s.conn.Read(buffer)
		if err != nil {
			log.Fatal(err)
		}
		s.mutex.Lock()
		s.read.Write(buffer[:n])
		if s.messages && (n < framingHeader || int(binary.BigEndian.Uint16(buffer[2:]))+framingHeader != n) {
			s.cut++
		}
		rest = append(rest, buffer[:n]...)
		for len(rest) >= framingHeader {
			if binary.BigEndian.Uint16(rest) != flagFrame {
				log.Fatalf("flag %x in what the server has sent", rest[:2])
			}
			size := framingHeader + int(binary.BigEndian.Uint16(rest[2:]))
			if len(rest) < size {
				break
			}
			s.answer(rest[framingHeader:size])
			rest = rest[size:]
		}
		s.mutex.Unlock()
	}
}

func (s *station) answer(frame []byte) {
	if len(frame) < etherHeader {
		return
	}
	payload := frame[etherHeader:]
	switch binary.BigEndian.Uint16(frame[12:]) {
	case typeARP:
		s.answerARP(payload)
	case typeIPv4:
		if bytes.Equal(frame[:6], s.mac) {
			s.answerIP(net.HardwareAddr(append([]byte(nil), frame[6:12]...)), payload)
		}
	}
}

func (s *station) answerARP(packet []byte) {
	if len(packet) < 28 {
		return
	}
	mac := net.HardwareAddr(append([]byte(nil), packet[8:14]...))
	ip := net.IP(append([]byte(nil), packet[14:18]...))
	if packet[7] == 1 && bytes.Equal(packet[24:28], s.ip) {
		s.write(s.arp(2, mac, mac, ip))
	}
	if s.peerIP != nil && bytes.Equal(ip, s.peerIP) {
		s.peerMAC = mac
		s.wake()
	}
}

func (s *station) answerIP(from net.HardwareAddr, packet []byte) {
	if len(packet) < 28 || packet[9] != 1 || !bytes.Equal(packet[16:20], s.ip) {
		return
	}
	size := int(binary.BigEndian.Uint16(packet[2:]))
	if size < 28 || size > len(packet) || packet[0] != 0x45 {
		return
	}
	message := packet[20:size]
	switch {
	case message[0] == 8:
		s.write(s.icmp(0, from, net.IP(append([]byte(nil), packet[12:16]...)), message[4:]))
	case message[0] == 0 && binary.BigEndian.Uint16(message[4:]) == echoIdent:
		s.takeEcho(binary.BigEndian.Uint16(message[6:]), message[8:])
	}
}

func (s *station) takeEcho(sequence uint16, payload []byte) {
	sent, ok := s.pending[sequence]
	if !ok {
		return
	}
	delete(s.pending, sequence)
	s.echoed++
	if !bytes.Equal(sent.payload, payload) {
		s.wrong++
	}
	s.wake()
}

// --- What the test asks for ---

func (s *station) wake() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// find asks who has the address until somebody says so.
func (s *station) find(ip net.IP, patience time.Duration) bool {
	everybody := net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	s.mutex.Lock()
	s.peerIP = ip
	s.mutex.Unlock()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		s.mutex.Lock()
		found := s.peerMAC != nil
		if !found {
			s.write(s.arp(1, everybody, make(net.HardwareAddr, 6), ip))
		}
		s.mutex.Unlock()
		if found {
			return true
		}
		select {
		case <-s.changed:
		case <-time.After(time.Second):
		}
	}
	return false
}

// ask sends a payload to be echoed; the mutex is held.
func (s *station) ask(sequence uint16, payload []byte) {
	body := make([]byte, 4, 4+len(payload))
	binary.BigEndian.PutUint16(body, echoIdent)
	binary.BigEndian.PutUint16(body[2:], sequence)
	s.pending[sequence] = question{payload, time.Now()}
	s.write(s.icmp(8, s.peerMAC, s.peerIP, append(body, payload...)))
}

// askAgain repeats what has not been answered for long: KCP loses nothing, but a queue of the LAN may drop a frame that
// has waited for too long.
func (s *station) askAgain() {
	for sequence, q := range s.pending {
		if time.Since(q.asked) > echoPatience {
			s.repeated++
			s.ask(sequence, q.payload)
		}
	}
}

// echo sends n random payloads to the station that was found, so many at a time, and waits until all have come back.
func (s *station) echo(n, window int) (echoed, wrong, repeated int) {
	for sent := 0; ; {
		s.mutex.Lock()
		for ; sent < n && len(s.pending) < window; sent++ {
			payload := make([]byte, s.random.Intn(payloadMax+1))
			s.random.Read(payload)
			s.ask(uint16(sent), payload)
		}
		s.askAgain()
		echoed, wrong, repeated = s.echoed, s.wrong, s.repeated
		s.mutex.Unlock()
		if echoed == n {
			return
		}
		select {
		case <-s.changed:
		case <-time.After(time.Second):
		}
	}
}
