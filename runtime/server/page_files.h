// The files of the web page as the build put them into the program (cmake/RotorWebPage.cmake).
#pragma once

#include <span>
#include <string_view>

namespace rotor::runtime::server {

struct PageFile {
  std::string_view path;  ///< "/app.js"
  std::string_view gzip;  ///< the whole file, compressed
};

std::span<const PageFile> page_files();

}  // namespace rotor::runtime::server
