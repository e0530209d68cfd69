# The web page of `rotor serve`, embedded: its own files, the libraries that they import, and the licences of those.

# rotor_web_page(TARGET FOLDER): compresses every file of FOLDER and the libraries, and adds to TARGET a table of them,
# runtime/server/page_files.h's page_files(). The assembler puts the bytes into the program as they are.
function(rotor_web_page target folder)
  set(out ${CMAKE_CURRENT_BINARY_DIR}/web-page)
  file(MAKE_DIRECTORY ${out})

  set(licenses ${out}/licenses.txt)
  set(license_files "${ROTOR_MARKED_LICENSE}" "${ROTOR_HIGHLIGHT_LICENSE}")
  add_custom_command(OUTPUT ${licenses} COMMAND ${CMAKE_COMMAND} -E cat ${license_files} > ${licenses}
                     DEPENDS ${license_files} VERBATIM)

  set(files "")  # of PATH=FILE
  file(GLOB own CONFIGURE_DEPENDS RELATIVE ${folder} ${folder}/*)
  foreach(name IN LISTS own)
    list(APPEND files "/${name}=${folder}/${name}")
  endforeach()
  list(APPEND files "/vendor/marked.js=${ROTOR_MARKED_JS}" "/vendor/highlight.js=${ROTOR_HIGHLIGHT_JS}"
                    "/licenses.txt=${licenses}")

  set(assembly "")
  set(names "")
  set(rows "")
  set(outputs "")
  foreach(entry IN LISTS files)
    string(REGEX MATCH "^([^=]*)=(.*)$" matched "${entry}")
    set(path ${CMAKE_MATCH_1})
    set(file ${CMAKE_MATCH_2})
    string(MAKE_C_IDENTIFIER "rotor_page${path}" id)
    set(output ${out}/${id}.gz)
    add_custom_command(OUTPUT ${output} COMMAND ${ROTOR_GZIP} -9nc ${file} > ${output} DEPENDS ${file} VERBATIM)
    list(APPEND outputs ${output})
    string(APPEND assembly "    \"${id}:\\n.incbin \\\"${output}\\\"\\n${id}_end:\\n\"\n")
    string(APPEND names "HIDDEN extern const char ${id}[];\nHIDDEN extern const char ${id}_end[];\n")
    string(APPEND rows "      PageFile{\"${path}\", {${id}, ${id}_end}},\n")
  endforeach()
  file(CONFIGURE OUTPUT ${out}/page_files.cpp @ONLY CONTENT [[
#include "runtime/server/page_files.h"

#include <array>

asm(".pushsection .rodata\n"
@assembly@    ".popsection\n");

#define HIDDEN __attribute__((visibility("hidden")))
extern "C" {
@names@}

namespace rotor::runtime::server {

std::span<const PageFile> page_files() {
  static const std::array files = {
@rows@  };
  return files;
}

}  // namespace rotor::runtime::server
]])
  target_sources(${target} PRIVATE ${out}/page_files.cpp)
  set_source_files_properties(${out}/page_files.cpp PROPERTIES OBJECT_DEPENDS "${outputs}")
endfunction()
