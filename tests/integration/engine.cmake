find_package(Python3 REQUIRED COMPONENTS Interpreter)
if(TARGET waft-engined AND TARGET waft-decide)
  waft_integration_test(engine_http
    COMMAND ${Python3_EXECUTABLE} ${CMAKE_SOURCE_DIR}/tests/integration/engine_http.py)
endif()

if(TARGET waft-engined AND TARGET waft-decide AND TARGET waftctl AND TARGET waft-collectord)
  waft_integration_test(engine_trace
    COMMAND ${Python3_EXECUTABLE} ${CMAKE_SOURCE_DIR}/tests/integration/engine_trace.py)
endif()
