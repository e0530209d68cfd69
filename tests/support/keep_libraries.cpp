// Drivers that were loaded stay loaded, in builds that look for leaks: what is allocated by a library that
// has gone is no longer reachable by its variables, and has no name that tests/lsan.supp could say.
extern "C" int dlclose(void*) noexcept {
  return 0;
}
