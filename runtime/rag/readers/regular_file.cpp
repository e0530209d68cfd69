#include "runtime/rag/readers/regular_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "rotor/core/error.h"

namespace rotor::runtime::rag {

RegularFile::RegularFile(const std::string& path)
    : path_(path), fd_(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
  if (fd_ < 0) fail(path, ": cannot open: ", std::strerror(errno));
  struct stat status = {};
  if (fstat(fd_, &status) == 0 && S_ISREG(status.st_mode)) {
    size_ = status.st_size;
    return;
  }
  close(fd_);
  fail(path, ": expected a file, found a ",
       S_ISDIR(status.st_mode)    ? "folder"
       : S_ISFIFO(status.st_mode) ? "pipe"
                                  : "device or socket");
}

RegularFile::~RegularFile() {
  close(fd_);
}

size_t RegularFile::read(char* bytes, size_t size) {
  while (true) {
    const ssize_t count = ::read(fd_, bytes, size);
    if (count >= 0) {
      position_ += count;
      if (count == 0 && size > 0 && position_ < size_)
        fail(path_, ": expected ", size_, " bytes, found ", position_,
             ": it became shorter while it was read");
      return static_cast<size_t>(count);
    }
    if (errno != EINTR) fail(path_, ": reading failed: ", std::strerror(errno));
  }
}

}  // namespace rotor::runtime::rag
