/* scripts/lint --self-test: what the format check must refuse. */
int  bad_format( int a )
{
    return a ;
}
