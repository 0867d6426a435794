// A team of host threads that work in step, with a barrier cheap enough for every frame.
#pragma once
#ifndef __CUDACC__

#include <atomic>
#include <sched.h>

#include "kernel.h"

class Team {
 public:
  // All members call it with the size of the team; returns when all have.
  void wait(int size) {
    if (size == 1) return;
    int phase = phase_.load(std::memory_order_relaxed);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) == size - 1) {
      arrived_.store(0, std::memory_order_relaxed);
      phase_.store(phase + 1, std::memory_order_release);
      return;
    }
    for (int spins = 0; phase_.load(std::memory_order_acquire) == phase; ++spins)
      if (spins < 2000)
        pause();
      else
        sched_yield();  // the cores may be fewer than the threads
  }

 private:
  static void pause() {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
  }

  std::atomic<int> arrived_{0};
  std::atomic<int> phase_{0};
};

// The part of `count` things that member `index` of a team takes: begin to end.
struct Share {
  index_t begin, end;
};

DEVICE Share share(index_t count, int index, int size) {
  Share part = {count * index / size, count * (index + 1) / size};
  return part;
}

#ifdef _OPENMP
DEVICE int team_index() { return omp_get_thread_num(); }
DEVICE int team_size() { return omp_get_num_threads(); }
#else
DEVICE int team_index() { return 0; }
DEVICE int team_size() { return 1; }
#endif

#endif
