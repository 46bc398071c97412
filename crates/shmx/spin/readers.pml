/* Reader slots and leases: attach, lease, release, detach, die, reap, claim (docs/wire-format.md, 6.2, 7.3, 10, 12).
 *
 * One reader slot, wanted by two readers one after the other, one frame slot, and a server with one thread that writes
 * and one that reaps. KILLS readers are killed, each behind any of their steps; the kernel takes the lock in that same
 * step. Every run must end, and end well.
 *
 * The time of grace: a slot of which nothing can be told is freed the second time that it is looked at, and the count
 * is mended while no living reader is between two steps of coming or going.
 */

#define REAPER 3

byte lock;                       /* who holds the liveness lock of the slot; 0: nobody */
bool in_use; byte id, tag; bool heartbeat;
byte count;                      /* readers_connected */
bool lease, odd, writing;        /* of the frame slot; odd: a writer owns it */
byte stamp;
bool dead[3], done[3], reading[3], midway[3];

#define OVER(r) (done[r] || dead[r])
#define LIVE_MIDWAY ((midway[1] && !dead[1]) || (midway[2] && !dead[2]))
#define SHOWS_A_LOCK (id != 0 && tag == id)

/* Others can come between each two. */
#ifdef FAULT_TAG_FIRST
#define DETACH tag = 0; heartbeat = 0; id = 0; in_use = 0; count = (count > 0 -> count - 1 : 0)
#else
#define DETACH heartbeat = 0; id = 0; tag = 0; in_use = 0; count = (count > 0 -> count - 1 : 0)
#endif
#ifdef FAULT_LEAVE_LEASES
#define BURY DETACH
#else
#define BURY lease = 0; DETACH
#endif

proctype reader(byte me) {
  byte seen;
  { /* Of a slot that is taken only one whose owner showed its lock is had: it is dead. */
    atomic { lock == 0 && (!in_use || SHOWS_A_LOCK) -> lock = me; midway[me] = 1 };
    if
    :: in_use -> BURY
    :: else
    fi;
    in_use = 1;
    tag = me; id = me; heartbeat = 1;
    count++;
    midway[me] = 0;

    seen = stamp;                /* R1 */
    if
    :: odd
    :: else ->
       lease = 1;                /* R2 */
       if
#ifdef FAULT_NO_SECOND_LOOK_AT_THE_STAMP
       :: true
#else
       :: !odd && stamp == seen  /* R3 */
#endif
          -> reading[me] = 1;
          assert(!writing);
          reading[me] = 0
#ifndef FAULT_NO_SECOND_LOOK_AT_THE_STAMP
       :: else
#endif
       fi;
       lease = 0                 /* R6 */
    fi;

    midway[me] = 1;
    DETACH;
    midway[me] = 0;
    lock = 0;
    done[me] = 1
  } unless { dead[me] }
}

proctype writer() {
  byte turns = 2;
  do
  :: turns > 0 ->
     turns--;
     if
     :: !lease && !odd ->
        odd = 1;                 /* W1 */
        if
#ifndef FAULT_NO_LOOK_AT_LEASES
        :: lease -> odd = 0      /* W2 */
        :: else ->
#else
        :: true ->
#endif
           writing = 1;          /* W3 */
           assert(!reading[1] && !reading[2]);
           writing = 0;
           d_step { stamp++; odd = 0 }
        fi
     :: else
     fi
  :: else -> break
  od
}

proctype reaper() {
  bool unclaimed;
  do
#ifdef FAULT_REAP_WITHOUT_LOCK
  :: in_use ->
#else
  :: atomic { in_use && lock == 0 -> lock = REAPER }
#endif
     if
     :: SHOWS_A_LOCK || (!heartbeat && unclaimed) ->
        assert(OVER(1) || OVER(2));
        BURY;
        unclaimed = 0
     :: !SHOWS_A_LOCK && !heartbeat && !unclaimed -> unclaimed = 1
     :: !SHOWS_A_LOCK && heartbeat -> break       /* as a reader without lock, of which only time can tell */
     fi;
     lock = 0
#ifndef FAULT_COUNT_IS_NOT_MENDED
  :: d_step { count != in_use && !LIVE_MIDWAY && lock != REAPER -> count = in_use }
#endif
  :: OVER(1) && OVER(2) && !in_use && count == in_use -> break
#ifdef FAULT_COUNT_IS_NOT_MENDED
  :: OVER(1) && OVER(2) && !in_use -> break
#endif
  od
}

proctype killer() {
  byte left = KILLS, whom;
  do
  :: left > 0 ->
     atomic {
       select(whom : 1 .. 2);
       if
       :: !OVER(whom) -> dead[whom] = 1; reading[whom] = 0; if :: lock == whom -> lock = 0 :: else fi
       :: else
       fi;
       left--; whom = 0
     }
  :: break
  od
}

init {
  atomic { run reader(1); run reader(2); run writer(); run reaper(); run killer() }
  /* Each reader has had its turn, and nothing is left of them. */
  _nr_pr == 1;
  assert(lock == 0 && !in_use && id == 0 && tag == 0 && !heartbeat && count == 0 && !lease && !odd)
}
