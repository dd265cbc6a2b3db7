"""A test tone of a quarter of a second, stored encoded in the formats for which few machines have an encoder.

440 Hz, mono, 8 kHz (Opus: 48 kHz); encoded with PyAV from `0.5 * sin(2 * pi * 440 * t)`, then zlib and base 85.
"""

from __future__ import annotations

import base64
import zlib

HZ = 440.0
SECONDS = 0.25

_PACKED = {
    "mp3": (  # libmp3lame, 8 kbit/s
        "c-r%HF=k-^0p*b3U{@f`&%nU!lUSB!W~65bL<U9-2=M>0#Q`|SGcPS4qMm_`fq|)mp%4x9p@UUu;5a&Xj1K;z0g$~Q$1$J-"
        "73Km6gQ+7?uCs`NH1Pki#1RHQfoUftJs21qY`_0uFE1~zc5!i8|Mc$trz#urm>%dcJ-G9a!&>hjM;+(>-"
        "OD=<@;c0@7jEKP!6tvQNrtVy%_>;H0b-8Aw=*9nYcMo0wn;EBPOO+^_+M|bn#=Vcr-"
        "c>79gbXKushOnhHs)$qJT!pG4uZ&?as^i*}KYr1`33T3d;RI7;;1aVot`g7{+@*$05LvONtWA4MLu*2Q&_>5$};dxZ;pZP><8gieo=~d&~}I"
        "9QeZD=n$vKU|_(tP<6|z1h6^05<qjpK<50@Il#lvIFp$nL4=2!(LqDV;i$!JX2s=e_!fQKVE#po(Lsk{!5SXn1_NHk1q;{>g_AftG*>Kug^w"
        "W90mhjY41W`=qNQeb{Qv*_N9+{)kLl&#_iwk8?yh^ual-"
        "7H)Bfv^gYPpP2=QV+>ejaD`@bWNfl~Gl5>pynVd2BOVdojflM)P*RH9ai6{aXnvFHf7w4yYuFePZ}L?*{&hZc0|3Uaw>BmjjoqJ&mhZOHhbC"
        "B#=T<%P-TeNmx?tfnFW9|sXJ"
    ),
    "m4a": (  # FFmpeg's AAC in MP4, 8 kbit/s
        "c-muNV30{GsVwj{aa3SnU}6B#nZ^0JKy1Xoz`&7Kl$r_@FUU<vEV;+T;FDOEY-XfqWT9thV8p-"
        "_u{3f<h{}ys=Wj>8dLLS@E2QEvQKjkDw%pZeKw?eUt)scC)5W$G=D3R;1&JL6ip^S<xjJpuwxr8vj@n!fIc;riXOZ0AUbI+i%E_pN_41D|Jv"
        ";sHzBC(~ONWHS&7G;!B2%Z_*>qZG)2X~j5Qly!j!|IFO)F`aeT(8F_2=i$|KI)J{`xwry>UD4|Fif1&;RGYT*d3&xE<gBAAkPe|6kp%$7{2`"
        "uKoX`uKvsa_g|08W{0okH8zu2m$@wFa!yX)iES=7Hz)ee(>|qTy;Q<)^IXx8WT|F%SHTN;jaM`lHCim{;<Z|_s7rlbm&SrarCb_|x-"
        "^(74**FZGMHEST=ec~%a<|bTjeUx6|eN_^$PiX-sbbFQhyr|jX+k*fog$B7|OQ*G9FbvpBo?hTjY6&&E?P9v+Ae(*UO)7@?U?-"
        "=RZ4_&naM(o4aLGaY`Nk;rZwPxBsi}w|d=u_2d8J|7QRBXY=aE?w#zXpMJWzS@Ya)U!9JHZAxxWRi51oWlrPO-"
        "09c|1WVaKV2T6;NChM$MK&`_2N>>51q$zZaNxkD9R?<wR)zAhdG7LNxK?+}IkEV&y1?b1?ff@P{v{s%aEbjXkYM~7{bBtRh5`l#X7=3t{4!w"
        "r%gHUvNMS$$%rAh%F9t>i5JCV(R8{DF2L`-"
        "=35X0!iW0Md?3j{lu$|0UO#6i_#z?xoDyb<Y#XwpnHK(`)Ne9qe7N}mvmANUIi9m)zZVI~J<$=a=UkE({=ICam<P^bVit|hJkW~f)`6(WWc_"
        "}%mAT^93xtV!sK!!kZE{dTlDG+g)l%mu$BnR=77Ud{F*o+dzB}q9zc2;poaSD=}sN4dRL=0~;G6=w&3It}U#VN($XlrO_Pz6e|0BLatQLv=Z"
        "TM%Xiim-"
        "}yggs?o1F{&IKwd8{0S6N_YCxC;Y76rPkZXZ1Nk+1n5gJ{L5WU4!$ms=$KLGJdAnpfZk>Zl%d?dX(KrB_9UXTLf6y@jSK<#Aw{~v5qQhEUcL"
        "I&BUq|%g<L~uBymcYV65jj$T5m}U2P>_QhF}j(Mm{(m{k`Ho*EU;irgash5cufNquZBjT;uQexxSrP"
    ),
    "aac": (  # FFmpeg's AAC in ADTS, 8 kbit/s
        "c-s5_F~>pf|DStI3_giv$!11+MizR821X1_5lbUygs9wDb^dnbtM{Shx<V=*6IGgSZOdJq1|-&m-8!1PI$dmAVUD}lQIObCpxCTsnXA)gZA-"
        "d*=BUl(kki)Ib{5I)?L~{VrkspQSTFzh(zDb5?n|?=xpYWK+}xQuEi!e=olU28Hl50g1aatx;{JoYE&qp6V9re|X_tMA;v@Cv=g<G&{onrjI"
        ";*{LJMRCp_y5oT=f7OV>)yB>-~S(f{@?#!-"
        "LA)Lv%aqV|D&${%m4RZkIQC<ujMs1lUSFzEaq}fPTz@bE;lzP`p(lnrDeTT!f*3j(U4@RW_MS?3we!KG!`{lEb8L5TCu20eO{Nwf<vWT8jHF"
        "#m?{qdNgy(qSNUA@?rF=HG38t3D$f<K^y>8r`F!5y^QuyR8xV~^R?C5Efk+t2w*WF8RX(2^ANyP6d5F#B&)T!<r~KE;pKkJBf6C`SJD1NX0Q"
        "pzw{vSrUxmz|Br_}Kuo`3#-`@i~rtJmFEKmI@dZ}y*mHm`o{-pPLY>8G2UHP8L_)#+H+rsVci<=MSZ<}_Z-"
        "osNw_u#^o1rbs}5R6s&fWHYmLfZ@(mpzxjt2M%1?VPLXpRVW{u=PqxCYjww*6N^8q3tax$&VR$?U*h2pm)M^I3C5q%AJ#u%C;$K<tw7Q"
    ),
    "opus": (  # libopus in Ogg, 6 kbit/s
        "c-r$%PY-5bVt|5lOZQhG+P#AFJEO3FL20o^YGMi_qXnabJXnE0NI3(taz-HC7(Tg>(F~+KBr(017bxPBSe9mHq-"
        "O|321XzyqClLQmz<xHT4akN2{w^M!T@0+$TidU@UG$Im*nRc;1?7U5)>2_;Amyv@<1lpYf^#trRb*%IJRuG*8FMAa9>R5N>QD1*73JVat3j8"
        "-_&rdljpeAbo^rP{EPR!Uz%~OdEWKwS30l$!EN*PS{H!1{~n!`EVZ?|AO4{MDy^{gV!HwNoe3OkZY}z4w2-"
        "k+{=)L9nQ#Bgajff2`rYr<)P0KiiP-f?^OrbstefS@@@wnTCyNb#ect86?brYm@q(BcE#Y)?zE3L0x^-Dbk#>jHH-"
        "}fAb(?bI30%)2*T~6VJC}$TU-`3xW5W)wAoul}_TERg|6aau0sx_Xmc9"
    ),
}


def tone_files() -> dict[str, bytes]:
    """Content of a file in each of these formats, by suffix."""
    return {suffix: zlib.decompress(base64.b85decode(packed)) for suffix, packed in _PACKED.items()}
