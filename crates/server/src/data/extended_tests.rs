//! Numbers of 80 bits against what Redis 7.0.15 of Debian on x86-64 makes of them.

use proptest::prelude::*;

use super::*;

/// Two texts, and what Redis says their sum is; of a long one its beginning and its length.
#[rustfmt::skip]
const SUMS: &[(&str, &str, &str)] = &[
    ("0", "3e-4951", "0"),
    ("0.1", "0.2", "0.3"),
    ("1", "1e-19", "1"),
    ("1", "5e-20", "1"),
    ("1", "6e-20", "1"),
    ("1", "-5e-20", "1"),
    ("18446744073709551615", "1", "18446744073709551616"),
    ("18446744073709551615", "2", "18446744073709551616"),
    ("18446744073709551617", "0", "18446744073709551616"),
    ("18446744073709551618", "0", "18446744073709551618"),
    ("36893488147419103235", "0", "36893488147419103236"),
    ("36893488147419103237", "0", "36893488147419103236"),
    ("9223372036854775807", "0.5", "9223372036854775807.5"),
    ("9223372036854775807", "0.75", "9223372036854775808"),
    ("123456789.123456789", "5002.5", "123461791.62345678899873747"),
    ("0x1.8p3", "0", "12"),
    ("0X.8", "0xFFp-4", "16.4375"),
    ("0x1.00000000000000008p0", "0", "1"),
    ("0x1.00000000000000018p0", "0", "1"),
    ("1e22", "1", "10000000000000000000000"),
    ("1e30", "-1", "1000000000000000000024696061952"),
    ("1e30", "-1e30", "0"),
    ("-1.5", "1", "-0.5"),
    ("3.0e3", "2.5e-3", "3000.00249999999999995"),
    ("0.000000000000000005", "0", "0"),
    ("0.000000000000000015", "0", "0.00000000000000002"),
    ("0x1p-18", "0", "0.00000381469726562"),
    ("0x3p-18", "0", "0.00001144409179688"),
    ("1e-17", "1e-18", "0.00000000000000001"),
    ("1.", "-.5", "0.5"),
    ("1e400", "1e380", "1000000000000000000028188068394758651458...401"),
    ("1e4000", "0", "9999999999999999999965463873099623784932...4000"),
    ("0x1p-16445", "1", "1"),
    ("0x1.8p-16446", "1", "1"),
    ("1.7e308", "1.7e308", "3400000000000000000062735560503951935905...309"),
    ("999999999999999999.999999999", "0.000000001", "1000000000000000000"),
    ("0.30000000000000000001", "0.1", "0.4"),
    ("592975436.895308947585980", "680.6962410453357", "592976117.5915499929105863"),
    ("-880434537258077611e-20", "-256.41328887538566", "-256.42209322075824077"),
    ("253827180131604942e-24", "685994858119656345e-17", "6.85994883502374358"),
    ("-4410.352679777794", "838095828133972854e-26", "-4410.35267976941304191"),
    ("423748577144891676e-2", "-995907453944690312e-30", "4237485771448916.760009765625"),
    ("-503134252613354325e-20", "-276769188768651427e-18", "-0.28180053129478497"),
    ("592511901138638388e-18", "-402.4222042922645", "-401.8296923911258616"),
    ("-6.680878857405088e-12", "-860113536.339299546720873", "-860113536.33929954672930762"),
    ("191.95790108940378", "-858217869.400090419783463", "-858217677.44218933040974662"),
    ("32392418.355553268765073", "89599249050575071e-19", "32392418.36451319367006363"),
    ("-487.6363281145759", "898.4409533410521", "410.8046252264762"),
    ("814367901.20342701543737", "-2.6763104831627892e+16", "-26763104017259990.796875"),
    ("-94.3554930876627", "-546851877834247602e-23", "-94.35549855618147834"),
    ("889622577274283030e-1", "100576813.282482252635088", "88962257828005116.28125"),
    ("-783.8942618703342", "-921334284.102662510253714", "-921335067.99692438059719279"),
    ("182620882799609242e9", "971577222.382759531980328", "182620882799609242980450304"),
    ("984699266.613779614075129", "-375.09926131418615", "984698891.5145182998967357"),
    ("-342502629.899336849272572", "253.61153705221477", "-342502376.28779979707906023"),
    ("38939216.810791735000739", "-838.0835356310143", "38938378.72725610398629215"),
    ("-9.363470340171964e+17", "774456104.513030623178765", "-936347033242740295.5"),
    ("-7.087419620795963e-19", "-3.3162941279367694e-08", "-0.00000003316294128"),
    ("687103298847801888e6", "-45790466832662942e-24", "687103298847801888014336"),
    ("-139926015356239296e-21", "689.4677940107258", "689.46765408471044378"),
    ("-696770131.698512003178249", "204098200204190171e-1", "20409819323648885.400390625"),
    ("0.37767809226371374", "-4519289390.590398", "-4519289390.21271990798413754"),
    ("8.03720938362276e-14", "64411000890117.42", "64411000890117.4199981689453125"),
    ("-584670858522227903e-25", "-455379731726961.44", "-455379731726961.44000244140625"),
    ("-864474903.895263538988685", "491635163.747618890506019", "-372839740.14764464847394265"),
    ("519.2774728789789", "201118372.752446936194615", "201118892.0299198151769815"),
    ("793648104.298205960330721", "-269697953.201140403845525", "523950151.09706555647426285"),
];

fn sum(a: &str, b: &str) -> Option<String> {
    let (a, b) = (Extended::parse(a.as_bytes())?, Extended::parse(b.as_bytes())?);
    a.plus(b).map(Extended::to_text)
}

#[test]
fn sums_are_those_of_redis() {
    for (a, b, expected) in SUMS {
        let sum = sum(a, b).unwrap();
        match expected.split_once("...") {
            None => assert_eq!(sum, *expected, "{a} + {b}"),
            Some((start, len)) => {
                assert!(sum.starts_with(start), "{a} + {b} = {sum}");
                assert_eq!(sum.len().to_string(), len, "{a} + {b} = {sum}");
            }
        }
    }
}

#[test]
fn what_is_no_number_is_refused() {
    for text in [
        "",
        " 1",
        "1 ",
        "-",
        "+",
        ".",
        "1e",
        "1e+",
        "e5",
        "--1",
        "+-1",
        "0x",
        "0xp1",
        "0x1p",
        "0x.",
        "1.2.3",
        "1e5.0",
        "nan",
        "nan(1)",
        "infi",
        "1\0",
        "1_000",
        "1e4933",
        "-2e4932",
        "1e-4952",
        "0x1p16384",
        "0x1p-16446",
        "1e99999999999999999999",
        "1e-99999999999999999999",
    ] {
        assert_eq!(Extended::parse(text.as_bytes()), None, "{text}");
    }
    let longest = "0".repeat(TEXT_BYTES_MAX - 1);
    assert_eq!(Extended::parse(longest.as_bytes()), Some(Extended::ZERO));
    assert_eq!(Extended::parse(format!("{longest}0").as_bytes()), None);
}

#[test]
fn zero_has_no_sign_and_no_size() {
    for text in ["0", "-0", "+0.0", "0e99999999999999999999", "-0x0p-99999", "0.0e-7"] {
        assert_eq!(Extended::parse(text.as_bytes()), Some(Extended::ZERO), "{text}");
    }
    assert_eq!(sum("-1e-30", "0").unwrap(), "0");
}

#[test]
fn infinity_can_be_read_but_not_added() {
    for text in ["inf", "-INF", "+Infinity"] {
        assert!(!Extended::parse(text.as_bytes()).unwrap().is_finite());
        assert_eq!(sum(text, "1"), None);
        assert_eq!(sum("1", text), None);
    }
    assert_eq!(sum("1e4932", "1e4932"), None);
    let largest = "0x1.fffffffffffffffep16383";
    assert_eq!(sum(largest, "0x1p16319"), None, "rounds up, and out of range");
    assert_eq!(sum(largest, "0x1p16318"), sum(largest, "0"));
}

#[test]
fn long_texts_are_read_to_their_last_digit() {
    // 1 + 2^-64 lies between two numbers: what decides is whether anything comes behind it.
    let half = "1.0000000000000000000542101086242752217003726400434970855712890625";
    let zeros = "0".repeat(4_000);
    let read = |text: &str| Extended::parse(text.as_bytes()).unwrap();
    assert_eq!(read(half), read("1"));
    assert_eq!(read(&format!("{half}{zeros}")), read("1"));
    assert_eq!(read(&format!("{half}{zeros}1")), read("0x1.0000000000000002"));
    assert_eq!(read(&format!("0x1.0000000000000001{zeros}")), read("1"));
    assert_eq!(read(&format!("0x1.0000000000000001{zeros}1")), read("0x1.0000000000000002"));
}

#[test]
fn a_last_bit_far_below_decides_between_two_neighbours() {
    let read = |text: &str| Extended::parse(text.as_bytes()).unwrap();
    let half = "0x1p-64";
    let more_than_half = "0x1.0000000000000002p-64";
    assert_eq!(read("1").plus(read(half)), Some(read("1")));
    assert_eq!(read("1").plus(read(more_than_half)), Some(read("0x1.0000000000000002")));
    assert_eq!(read("-1").plus(read("-0x1p-64")), Some(read("-1")));
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        "-?[0-9]{1,20}",
        "-?[0-9]{0,12}\\.[0-9]{1,18}(e-?[0-9]{1,2})?",
        "-?[0-9]{1,3}e-?[0-4][0-9]{0,3}",
        "-?0x[0-9a-f]{1,17}p-?[0-9]{1,4}",
    ]
}

proptest! {
    #[test]
    fn random_texts_never_panic(text: Vec<u8>) {
        let _ = Extended::parse(&text);
    }

    #[test]
    fn whole_numbers_are_exact(a in -(1_i64 << 62)..1 << 62, b in -(1_i64 << 62)..1 << 62) {
        prop_assert_eq!(sum(&a.to_string(), &b.to_string()), Some((a + b).to_string()));
    }

    #[test]
    fn seventeen_digits_behind_the_point_come_back(n in -10_i64.pow(18)..10_i64.pow(18)) {
        let (sign, size) = (if n < 0 { "-" } else { "" }, n.unsigned_abs());
        let tens = 10_u64.pow(17);
        let text = format!("{sign}{}.{:017}", size / tens, size % tens);
        let shortest = text.trim_end_matches('0').trim_end_matches('.');
        let expected = if n == 0 { "0" } else { shortest };
        prop_assert_eq!(sum(&text, "0").unwrap(), expected);
    }

    #[test]
    fn a_sum_does_not_depend_on_the_order(a in number(), b in number()) {
        prop_assert_eq!(sum(&a, &b), sum(&b, &a));
    }

    #[test]
    fn nothing_is_lost_by_adding_nothing(a in number()) {
        let read = Extended::parse(a.as_bytes());
        prop_assert_eq!(read.and_then(|a| a.plus(Extended::ZERO)), read);
    }

    #[test]
    fn decimal_and_hexadecimal_agree(mantissa: u64, shift in 0_usize..200) {
        let mut decimal = Big::shifted(mantissa, shift).into_decimal();
        let hexadecimal = format!("0x{mantissa:x}p{shift}");
        prop_assert_eq!(
            Extended::parse(decimal.as_bytes()),
            Extended::parse(hexadecimal.as_bytes())
        );
        decimal.push_str(".000e-00");
        prop_assert_eq!(
            Extended::parse(decimal.as_bytes()),
            Extended::parse(hexadecimal.as_bytes())
        );
    }
}
