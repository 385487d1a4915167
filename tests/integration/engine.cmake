if(TARGET waft-engined AND TARGET waft-decide)
  find_package(Python3 REQUIRED COMPONENTS Interpreter)
  waft_integration_test(engine_http
    COMMAND ${Python3_EXECUTABLE} ${CMAKE_SOURCE_DIR}/tests/integration/engine_http.py)
endif()
