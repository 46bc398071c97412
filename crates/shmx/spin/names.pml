/* Names: create, take over, remove, leave, die, and a reader that asks whether its server lives (docs/wire-format.md,
 * 12 and 13).
 *
 * Object n is made by process n. Two servers want the name, at once or one after the other; a tool removes what a dead
 * one has left. KILLS of them are killed, each behind any of its steps; the kernel takes their locks in that same step.
 * The reader holds object 1. Every run must end, and end well.
 */

#define TOOL 3

byte name;                       /* the object that it leads to; 0: none */
byte lock[3];                    /* who holds the server's lock of an object */
bool closed[3], linked[3];
bool dead[4], done[4], refused[4];

#define OVER(p) (done[p] || dead[p])
#define ALIVE(o) (linked[o] && !closed[o] && !dead[o])

/* What the name led to a moment ago is not taken away from a living server. */
#define UNLINK d_step { assert(name == 0 || !ALIVE(name)); name = 0 }

/* Takes the name away from the dead. */
inline clear(me) {
  old = name;
  if
  :: old == 0
  /* It lives. One that is about to leave is waited for. */
  :: old != 0 && lock[old] == old && !closed[old] -> refused[me] = 1
  :: old != 0 && name != old
  :: old != 0 && lock[old] == 0 ->
#if !defined(FAULT_TELL_AFTER_LOCK)
     closed[old] = 1;            /* CLOSED and DIED: its readers are told before the lock is taken */
#endif
     do
#ifdef FAULT_UNLINK_WITHOUT_LOCK
     :: true ->
#else
     :: atomic { lock[old] == 0 -> lock[old] = me } ->
#endif
#ifdef FAULT_TELL_AFTER_LOCK
        closed[old] = 1;
#endif
        /* Two system calls: what does the name lead to, and remove it. */
#ifdef FAULT_NO_LOOK_AT_THE_NAME
        UNLINK;
#else
        if :: name == old -> UNLINK :: else fi;
#endif
#ifndef FAULT_UNLINK_WITHOUT_LOCK
        lock[old] = 0;
#endif
        break
     :: name != old -> break     /* somebody else has tidied up */
     od
  fi;
  old = 0
}

proctype server(byte me) {
  byte old;
  { do
    :: /* Its own object is locked before anybody can see it. */
#ifndef FAULT_LINK_BEFORE_LOCK
       lock[me] = me;
#endif
       if
       :: d_step { name == 0 -> name = me; linked[me] = 1 }
#ifdef FAULT_LINK_BEFORE_LOCK
          lock[me] = me;
#endif
          break
       :: name != 0 -> clear(me)
       fi;
       if :: refused[me] -> break :: else fi
    od;
    if
    :: refused[me]
    :: else ->
       assert(name == me);
       /* It leaves. */
       closed[me] = 1;
       if :: name == me -> d_step { assert(name == me); name = 0 } :: else fi
    fi;
    lock[me] = 0;
    done[me] = 1
  } unless { dead[me] }
}

proctype tool() {
  byte old;
  { clear(TOOL);
    done[TOOL] = 1
  } unless { dead[TOOL] }
}

/* Asks whether its server lives: the word, the lock, and the word once more. Once, at any moment. */
proctype reader() {
  bool lived;
  if
  :: d_step { linked[1] -> lived = ALIVE(1) }
     if
     :: closed[1]
     :: else ->
        if
        :: lock[1] == 0
        :: else -> if :: closed[1] :: else -> assert(lived) fi
        fi
     fi
  :: OVER(1) && !linked[1]
  fi
}

proctype killer() {
  byte left = KILLS, whom;
  do
  :: left > 0 ->
     atomic {
       select(whom : 1 .. TOOL);
       if
       :: !OVER(whom) ->
          dead[whom] = 1;
          if :: lock[1] == whom -> lock[1] = 0 :: else fi;
          if :: lock[2] == whom -> lock[2] = 0 :: else fi
       :: else
       fi;
       left--; whom = 0
     }
  :: break
  od
}

init {
  atomic { run server(1); run server(2); run tool(); run reader(); run killer() }
  /* The name is free, or what it leads to is a dead server's, whose lock anybody can have. */
  _nr_pr == 1;
  assert(lock[1] == 0 && lock[2] == 0);
  assert(name == 0 || dead[name])
}
