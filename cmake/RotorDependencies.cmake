# Every library that the build looks for, in one place. README's table says what each is for; scripts/setup.sh installs them.
find_package(Threads REQUIRED)
find_package(ZLIB REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(XxHash REQUIRED)
find_package(cxxopts REQUIRED)

if(ROTOR_TRAIN)
  # Debian's LibTorch 1.13 is found by itself; another one through -DCMAKE_PREFIX_PATH=/path/to/libtorch.
  find_package(Torch QUIET)
  if(NOT Torch_FOUND)
    message(FATAL_ERROR "LibTorch not found: install libtorch-dev (scripts/setup.sh does), point CMAKE_PREFIX_PATH at a "
                        "LibTorch folder, or build without training: cmake --preset runtime-only")
  endif()
  find_package(yaml-cpp REQUIRED)
endif()
if(ROTOR_TESTS)
  find_package(GTest REQUIRED)
endif()
if(ROTOR_BENCH)
  find_package(benchmark REQUIRED)
endif()
