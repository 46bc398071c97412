/* The doorbell (docs/wire-format.md, 11): two sleepers, a server that publishes FRAMES frames and leaves, and KILLS
 * deaths, each behind any step of anybody's.
 *
 * Sleeping goes by the clock only where the server is dead, which no ring tells: a lost wake-up shows as a sleeper that
 * sleeps for ever. Every run must end, and end well.
 */

#define SERVER 0
#define CLOSED (FRAMES + 1)
#define AWAKE 255
#define REFUSED 254

byte bell;                       /* a counter, odd while somebody may be asleep */
byte published;                  /* the newest frame; CLOSED at last */
byte seen[3];
byte slept_on[3] = AWAKE;        /* the value */
bool dead[3];

/* All of them, whatever they slept on. */
inline wake() { d_step { slept_on[1] = AWAKE; slept_on[2] = AWAKE } }

/* The exchange and the system call are two steps: the word may be another one by then. */
inline ring() {
  d = bell;
  if
  :: d % 2 == 1 ->
#ifdef FAULT_A_FLAG_INSTEAD_OF_A_COUNTER
     d_step { if :: bell == d -> bell = 0 :: else -> d = REFUSED fi };
#else
     d_step { if :: bell == d -> bell = d + 1 :: else -> d = REFUSED fi };
#endif
     if :: d != REFUSED -> wake() :: else fi
  :: else
  fi
}

proctype server() {
  byte d;
  { do
    :: published < CLOSED ->
#ifdef FAULT_RING_BEFORE_PUBLISHING
       ring();
       published++
#else
       published++;
#ifdef FAULT_LEAVE_WITHOUT_RINGING
       if :: published < CLOSED -> ring() :: else fi
#else
       ring()
#endif
#endif
    :: else -> break
    od
  } unless { dead[SERVER] }
}

inline sleep() {
  /* The kernel compares the word and puts the sleeper to sleep in one step. */
  d_step { if :: bell == d -> slept_on[me] = d :: else fi };
  if
  :: slept_on[me] == AWAKE
#ifndef FAULT_NEVER_LOOK_WHETHER_THE_SERVER_LIVES
  :: d_step { slept_on[me] != AWAKE && dead[SERVER] -> slept_on[me] = AWAKE; seen[me] = CLOSED }
#endif
  fi
}

proctype sleeper(byte me) {
  byte d;
  { do
    :: seen[me] == CLOSED -> break
    :: d_step { seen[me] != CLOSED && seen[me] != published -> seen[me] = published }
    :: seen[me] != CLOSED && seen[me] == published ->
       d_step { bell = bell + 1 - bell % 2; d = bell };
#ifdef FAULT_NO_SECOND_LOOK
       sleep()
#else
       if
       :: seen[me] != published
       :: else -> sleep()
       fi
#endif
    od
  } unless { dead[me] }
}

proctype killer() {
  byte left = KILLS, whom;
  do
  :: left > 0 ->
     atomic { select(whom : 0 .. 2); dead[whom] = 1; if :: whom > 0 -> slept_on[whom] = AWAKE :: else fi; left--; whom = 0 }
  :: break
  od
}

init {
  atomic { run server(); run sleeper(1); run sleeper(2); run killer() }
  /* Who lives has taken the last frame and knows that there is no other. */
  _nr_pr == 1;
  assert((seen[1] == CLOSED || dead[1]) && (seen[2] == CLOSED || dead[2]))
}
