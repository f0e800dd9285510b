// Package room keeps the machines of the machine room: what hardware they have, whether they are
// powered, what is on their disks, and how they fail.
//
// A machine is a folder of the state directory. Its file machine.json holds what must outlive
// the server: a server that is started again goes on with the machines as they are. What boots on
// this computer is behind Computer, so that thousands of machines can be had without an operating
// system (Folder) and a few with one (package machine).
package room
