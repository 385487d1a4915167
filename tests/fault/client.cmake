# What can happen to a client and its host.
waft_fault(client-killed
  TAKES 120
  ABOUT "clients killed at random moments: what was acknowledged to them is stored, once"
  COMMAND python3 ${CMAKE_CURRENT_SOURCE_DIR}/client_killed.py)
find_package(Threads REQUIRED)
pkg_check_modules(UUID REQUIRED IMPORTED_TARGET uuid)
# The library once more, with its calls for memory, threads and descriptors ours.
get_target_property(client_sources waft_client SOURCES)
list(TRANSFORM client_sources PREPEND ${CMAKE_SOURCE_DIR}/client/)
add_library(client_refused STATIC EXCLUDE_FROM_ALL ${client_sources}
  ${WAFT_TESTS_DIR}/unit/client/fake_collector.c
  ${WAFT_TESTS_DIR}/unit/client/fake_record.c)
target_include_directories(client_refused
  PUBLIC ${CMAKE_SOURCE_DIR}/client/include ${CMAKE_SOURCE_DIR}/client/src
  PRIVATE ${CMAKE_SOURCE_DIR}/proto/tls ${WAFT_TESTS_DIR}/unit/client)
foreach(call malloc calloc realloc strdup mmap memfd_create socketpair pthread_create)
  set_property(SOURCE ${client_sources} TARGET_DIRECTORY client_refused
    APPEND PROPERTY COMPILE_DEFINITIONS ${call}=fault_${call})
endforeach()
target_compile_definitions(client_refused PRIVATE WAFT_VERSION="${PROJECT_VERSION}")
target_link_libraries(client_refused
  PUBLIC waft_proto PkgConfig::UUID PkgConfig::CMOCKA Threads::Threads m)
waft_fault_program(client_memory client_refused)
waft_fault(client-memory
  TAKES 5
  ABOUT "each of libwaft's calls for memory, threads and descriptors refused in turn"
  COMMAND $<TARGET_FILE:fault_client_memory>
  DEPENDS fault_client_memory)
# It has a clock_gettime of its own, which the library finds.
waft_fault_program(client_clock client_test)
waft_fault(client-clock
  TAKES 640
  ABOUT "the wall clock set forward and back and running fast, beside spans for 10 minutes"
  COMMAND $<TARGET_FILE:fault_client_clock>
  DEPENDS fault_client_clock)
waft_fault_program(client_host waft_static Threads::Threads)
waft_fault(client-descriptors
  TAKES 60
  ABOUT "the host closes descriptors 3..1023 and opens its own files there"
  COMMAND python3 ${CMAKE_CURRENT_SOURCE_DIR}/client_host.py descriptors
  DEPENDS fault_client_host
  TIMEOUT 1800)
# ASan's allocator has locks of its own, which a fork beside threads may leave taken in
# the child for ever: this row is of the release build.
if(NOT WAFT_SANITIZE)
  set_target_properties(fault_client_host PROPERTIES EXCLUDE_FROM_ALL OFF)
endif()
waft_fault(client-forks
  UNSANITIZED
  TAKES 300
  ABOUT "threads trace and fork: _Fork, exec, exit from any thread, _exit, abort"
  COMMAND python3 ${CMAKE_CURRENT_SOURCE_DIR}/client_host.py forks
  DEPENDS fault_client_host
  TIMEOUT 1800)
