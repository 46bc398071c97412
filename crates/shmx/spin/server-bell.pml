/* The server asleep (docs/wire-format.md, 11.2): two threads of it, each waiting for the messages of one of two senders,
 * of which KILLS die, each behind any step.
 *
 * A sender that dies between its exchange and its system call has taken the server's flag along, so the server also
 * looks by the clock; while nobody has died it must never need to. Every run must end, and end well.
 */

#define AWAKE 255
#define WAITS 1                  /* SERVER_WAITS; the counter lies above it */

byte more, slept_on[3] = AWAKE;  /* the value */
byte sent[3], taken[3];
bool dead[3], over[3];

#define NEWS(t) (taken[t] != sent[t])

proctype server(byte me) {
  byte d;
  do
  :: NEWS(me) -> d_step { taken[me] = sent[me] }
  :: !NEWS(me) && over[me] -> break
  :: !NEWS(me) && !over[me] ->
     d_step { if :: more % 2 == 0 -> more++ :: else fi; d = more };
#ifndef FAULT_NO_SECOND_LOOK
     if
     :: NEWS(me)
     :: else ->
#endif
        /* The kernel compares the word and puts the sleeper to sleep in one step. */
        d_step { if :: more == d -> slept_on[me] = d :: else fi };
        if
        :: slept_on[me] == AWAKE
#ifndef FAULT_SLEEP_WITHOUT_BOUND
        :: d_step { slept_on[me] != AWAKE && (dead[1] || dead[2]) && NEWS(me) -> slept_on[me] = AWAKE }
#endif
        /* Nobody is left and nothing is: the model ends here, the server would sleep on. */
        :: d_step { slept_on[me] != AWAKE && over[me] && !NEWS(me) -> slept_on[me] = AWAKE }
        fi
#ifndef FAULT_NO_SECOND_LOOK
     fi
#endif
  od
}

proctype sender(byte me) {
  byte w;
  { sent[me]++;
    do
    :: w = more;
       if
       :: w % 2 == 0 -> break
       :: else
       fi;
       if
#ifdef FAULT_CLEAR_THE_FLAG_ONLY
       :: d_step { more == w -> more = w - WAITS }
#else
       :: d_step { more == w -> more = w - WAITS + 2 }
#endif
          d_step { slept_on[1] = AWAKE; slept_on[2] = AWAKE };
          break
       :: more != w
       fi
    od;
    over[me] = 1
  } unless { dead[me] }
}

proctype killer() {
  byte left = KILLS, whom;
  do
  :: left > 0 -> atomic { select(whom : 1 .. 2); dead[whom] = 1; over[whom] = 1; left--; whom = 0 }
  :: break
  od
}

init {
  atomic { run server(1); run server(2); run sender(1); run sender(2); run killer() }
  _nr_pr == 1;
  assert(!NEWS(1) && !NEWS(2))
}
