# Settings that every target shares: language, warnings, sanitizers, compiler cache, output folder.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
set(CMAKE_LINK_DEPENDS_NO_SHARED ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()

find_program(CCACHE ccache)
if(CCACHE)
  # Precompiled headers cache only with these: time macros would otherwise make every build a miss. What two presets compile
  # alike is compiled once, since paths below the sources are told relative to the build.
  set(CMAKE_CXX_COMPILER_LAUNCHER
      ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
      CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} ${CCACHE})
endif()

add_library(rotor_options INTERFACE)
target_include_directories(rotor_options INTERFACE ${CMAKE_SOURCE_DIR})
# -ffp-contract=off: the same source gives the same floats in every kernel file and on every machine.
target_compile_options(rotor_options INTERFACE -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion
                                               -Wnon-virtual-dtor -Wno-missing-field-initializers -ffp-contract=off)
if(ROTOR_WERROR)
  target_compile_options(rotor_options INTERFACE -Werror)
endif()
if(CMAKE_UNITY_BUILD)
  # The files of a library are compiled eight at a time: no file is the one whose private types these are.
  target_compile_options(rotor_options INTERFACE $<$<CXX_COMPILER_ID:GNU>:-Wno-subobject-linkage>)
endif()
if(ROTOR_SANITIZE)
  add_compile_options(-fsanitize=${ROTOR_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  if(ROTOR_SANITIZE MATCHES undefined)
    # Neither finds what AddressSanitizer does not, and they take a third of the time to compile.
    add_compile_options(-fno-sanitize=null,object-size)
    # A quarter of what is left; what reads files, where addresses may be odd, has them in clang's builds (fuzz).
    add_compile_options($<$<CXX_COMPILER_ID:GNU>:-fno-sanitize=alignment,vptr>)
  endif()
  # GCC's -Wmaybe-uninitialized misjudges std::function once checks are woven in.
  target_compile_options(rotor_options INTERFACE $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
  add_link_options(-fsanitize=${ROTOR_SANITIZE})
endif()

# rotor_library(NAME sources...): a static library with the shared settings.
function(rotor_library name)
  add_library(${name} STATIC ${ARGN})
  target_link_libraries(${name} PUBLIC rotor_options)
endfunction()

# rotor_unoptimised_under_sanitizers(SCOPE targets...): compiles them without optimisation there, which takes half of the
# time. For code that waits more than it computes; kernels and readers are not among it.
function(rotor_unoptimised_under_sanitizers scope)
  if(ROTOR_SANITIZE)
    foreach(target ${ARGN})
      target_compile_options(${target} ${scope} -O0)
    endforeach()
  endif()
endfunction()
