# libwaft's parsers of what others send it: headers, a collector's answers, texts.
foreach(name context session snapshot)
  waft_fuzzer(${name} waft_static waft_proto)
  target_include_directories(fuzz_${name} PRIVATE ${CMAKE_SOURCE_DIR}/client/src)
endforeach()
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson)
target_link_libraries(fuzz_snapshot PRIVATE PkgConfig::JANSSON)
